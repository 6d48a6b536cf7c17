"""What crosses a boundary: the Structs that the gateway, its engines and canary agree on. Stdlib and msgspec only."""
