// Where two answers differ, word by word.

const MOST_WORDS = 2000;
const WORDS = new Intl.Segmenter(undefined, { granularity: "word" });

/**
 * Return each text as runs of `{text, common}`, or null where they are too long to compare.
 *
 * What both have in the same order is common; blanks go with the word before them, and are compared with nothing.
 */
export function difference(left, right) {
  const [a, b] = [wordsOf(left), wordsOf(right)];
  const common = commonWords(a, b);
  return common && { left: runs(a, common.left), right: runs(b, common.right), words: counts(a, b, common) };
}

/** Split into words and marks, each with the blanks behind it. */
function wordsOf(text) {
  const words = [];
  for (const { segment } of WORDS.segment(text)) {
    if (segment.trim() === "" && words.length > 0) words.at(-1).blanks += segment;
    else words.push({ word: segment, blanks: "" });
  }
  return words;
}

/** Say of each word on either side whether it is of a longest common subsequence. */
function commonWords(a, b) {
  const same = (i, j) => a[i].word === b[j].word;
  let head = 0;
  while (head < a.length && head < b.length && same(head, head)) head += 1;
  let tail = 0;
  while (tail < Math.min(a.length, b.length) - head && same(a.length - 1 - tail, b.length - 1 - tail)) tail += 1;
  const [rows, columns] = [a.length - head - tail, b.length - head - tail];
  if (Math.max(rows, columns) > MOST_WORDS) return null;

  const width = columns + 1;
  const lengths = new Uint16Array((rows + 1) * width); // of what is common from (i, j) on
  for (let i = rows - 1; i >= 0; i -= 1) {
    for (let j = columns - 1; j >= 0; j -= 1) {
      lengths[i * width + j] = same(head + i, head + j)
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  const ends = (words) => words.map((_, at) => at < head || at >= words.length - tail);
  const [left, right] = [ends(a), ends(b)];
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    if (same(head + i, head + j)) {
      left[head + i] = right[head + j] = true;
      i += 1;
      j += 1;
    } else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i += 1;
    else j += 1;
  }
  return { left, right };
}

function runs(words, common) {
  const found = [];
  words.forEach(({ word, blanks }, at) => {
    if (found.at(-1)?.common !== common[at]) found.push({ text: "", common: common[at] });
    found.at(-1).text += word + blanks;
  });
  return found;
}

function counts(a, b, common) {
  const shared = common.left.filter(Boolean).length;
  return { shared, left: a.length - shared, right: b.length - shared };
}
