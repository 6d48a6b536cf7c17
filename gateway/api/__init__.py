"""The HTTP side: thin Litestar controllers over class Gateway, and all that has OpenAI's shape rather than ours."""
