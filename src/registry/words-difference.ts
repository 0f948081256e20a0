import { z } from 'zod';
import { visible } from './visible.js';

/** A piece of text that stayed, went or came. */
export const Word = z.strictObject({ kind: z.enum(['same', 'removed', 'added']), text: z.string() });
export type Word = z.infer<typeof Word>;

/** Beyond this many cells of the table the middle of two texts is given as one piece that went and one that came. */
const MAX_CELLS = 4_000_000;

/** Two texts word by word, by their longest common subsequence; what is hidden in them is spelled out. */
export function wordsOf(before: string, after: string): Word[] {
  const [left, right] = [split(before), split(after)];
  const shortest = Math.min(left.length, right.length);
  let head = 0;
  while (head < shortest && left[head] === right[head]) head++;
  let tail = 0;
  while (tail < shortest - head && left.at(-1 - tail) === right.at(-1 - tail)) tail++;
  const pieces: Word[] = [
    ...left.slice(0, head).map(piece('same')),
    ...middle(left.slice(head, left.length - tail), right.slice(head, right.length - tail)),
    ...left.slice(left.length - tail).map(piece('same')),
  ];
  return joined(pieces).map(({ kind, text }) => ({ kind, text: visible(text.toWellFormed()) }));
}

/** Words, runs of space, and every other character by itself. */
const split = (text: string): readonly string[] => text.match(/[\p{L}\p{M}\p{N}_]+|[ \n]+|[^]/gu) ?? [];

const piece =
  (kind: Word['kind']) =>
  (text: string): Word => ({ kind, text });

function middle(left: readonly string[], right: readonly string[]): readonly Word[] {
  if (left.length * right.length > MAX_CELLS) return [...left.map(piece('removed')), ...right.map(piece('added'))];
  const lengths = commonLengths(left, right);
  const width = right.length + 1;
  const pieces: Word[] = [];
  let [i, j] = [0, 0];
  while (i < left.length && j < right.length) {
    const word = left[i] ?? '';
    if (word === right[j]) {
      pieces.push({ kind: 'same', text: word });
      i++;
      j++;
    } else if ((lengths[(i + 1) * width + j] ?? 0) >= (lengths[i * width + j + 1] ?? 0)) {
      pieces.push({ kind: 'removed', text: word });
      i++;
    } else pieces.push({ kind: 'added', text: right[j++] ?? '' });
  }
  return [...pieces, ...left.slice(i).map(piece('removed')), ...right.slice(j).map(piece('added'))];
}

/** For every pair of ends: how many words are common from there on. */
function commonLengths(left: readonly string[], right: readonly string[]): Uint32Array {
  const width = right.length + 1;
  const lengths = new Uint32Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--)
    for (let j = right.length - 1; j >= 0; j--)
      lengths[i * width + j] =
        left[i] === right[j]
          ? (lengths[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(lengths[(i + 1) * width + j] ?? 0, lengths[i * width + j + 1] ?? 0);
  return lengths;
}

/** Neighbours of one kind as one piece; of what went and came between two common words, what went is first. */
function joined(pieces: readonly Word[]): readonly Word[] {
  const found: Word[] = [];
  let [removed, added] = ['', ''];
  const flush = (): void => {
    if (removed !== '') found.push({ kind: 'removed', text: removed });
    if (added !== '') found.push({ kind: 'added', text: added });
    [removed, added] = ['', ''];
  };
  for (const { kind, text } of pieces) {
    if (kind === 'removed') removed += text;
    else if (kind === 'added') added += text;
    else {
      flush();
      const last = found.at(-1);
      if (last?.kind === 'same') found[found.length - 1] = { kind, text: last.text + text };
      else found.push({ kind, text });
    }
  }
  flush();
  return found;
}
