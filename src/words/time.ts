const UNITS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** A time of so many seconds, in the largest unit that it is a whole number of. */
export function timeInWords(seconds: number): string {
  const [name, length] = UNITS.find(([, size]) => seconds >= size && seconds % size === 0) ?? ['second', 1];
  const count = seconds / length;
  return `${String(count)} ${name}${count === 1 ? '' : 's'}`;
}

/** So many seconds that are left, in words that stay true for a while. */
export const timeLeft = (seconds: number): string =>
  seconds < 120 ? `${String(Math.max(0, seconds))} seconds` : `${String(Math.floor(seconds / 60))} minutes`;
