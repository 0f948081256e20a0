import type { Markup } from './html.js';

/** In bytes: what is left of the 30 kB of a page beside its style, its headings and its other forms. */
export const ROOM = 18_000;

/** The first of these for which there is room, and never none: a list that is longer goes on by a link. */
export function fitting(all: readonly Markup[], room: number): readonly Markup[] {
  let left = room;
  const tooMany = all.findIndex((one, place) => {
    left -= Buffer.byteLength(one.toString());
    return place > 0 && left < 0;
  });
  return tooMany < 0 ? all : all.slice(0, tooMany);
}
