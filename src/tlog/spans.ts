/** Leaves from `start` up to but without `end`. In a proof: one subtree of RFC 6962, whose hash is one hash of it. */
export type Span = readonly [start: number, end: number];

/** The largest power of two that is not above `leaves`, which is at least 1. Exact where Math.log2 rounds. */
export function powerWithin(leaves: number): number {
  let power = 1;
  while (power * 2 <= leaves) power *= 2;
  return power;
}

/** The tree's left half, RFC 6962 section 2.1: the largest power of two smaller than `leaves`, which is at least 2. */
export const leftHalf = (leaves: number): number => powerWithin(leaves - 1);

/** RFC 6962 section 2.1.1: the subtrees beside the way from the leaf up to the root, lowest first. */
export function inclusionSpans(index: number, size: number): Span[] {
  const spans: Span[] = [];
  let [start, end] = [0, size];
  while (end - start > 1) {
    const middle = start + leftHalf(end - start);
    spans.push(index < middle ? [middle, end] : [start, middle]);
    [start, end] = index < middle ? [start, middle] : [middle, end];
  }
  return spans.reverse();
}

/** RFC 6962 section 2.1.2, for 0 < from < to: what leads both to the old root and to the new one. */
export function consistencySpans(from: number, to: number): Span[] {
  const spans: Span[] = [];
  let [start, end] = [0, to];
  while (from < end) {
    const middle = start + leftHalf(end - start);
    spans.push(from <= middle ? [middle, end] : [start, middle]);
    [start, end] = from <= middle ? [start, middle] : [middle, end];
  }
  if (start > 0) spans.push([start, end]);
  return spans.reverse();
}

/** The largest subtrees of a tree of `size` that have no leaf of the run, left to right. */
export function rangeSpans(run: Span, size: number): Span[] {
  const outside = ([start, end]: Span): Span[] => {
    if (end <= run[0] || start >= run[1]) return [[start, end]];
    if (start >= run[0] && end <= run[1]) return [];
    const middle = start + leftHalf(end - start);
    return [...outside([start, middle]), ...outside([middle, end])];
  };
  return outside([0, size]);
}

/** A perfect subtree: the `index`th of those with 2^height leaves. */
export type Perfect = Readonly<{ height: number; index: number }>;

/** The perfect subtrees that a subtree of RFC 6962 consists of, left to right and ever smaller. */
export function perfectParts([start, end]: Span): Perfect[] {
  const parts: Perfect[] = [];
  for (let at = start; at < end;) {
    const leaves = powerWithin(end - at);
    parts.push({ height: Math.log2(leaves), index: at / leaves });
    at += leaves;
  }
  return parts;
}
