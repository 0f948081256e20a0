/** The most that one line may have; an entry of the largest size has 88 thousand bytes. */
const MAX_LINE = 1024 * 1024;

/**
 * Hands over the lines of a stream of bytes, each without its newline, which alone ends a line. `false` from `take` ends
 * it. Says whether the stream ended with a newline, and no line was too long.
 */
export async function eachLine(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  take: (line: Buffer) => boolean,
): Promise<'whole' | 'cut' | 'stopped'> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const data = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    let start = 0;
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10, start)) {
      if (end - start > MAX_LINE) return 'cut';
      if (!take(data.subarray(start, end))) return 'stopped';
      start = end + 1;
    }
    rest = data.subarray(start);
    if (rest.length > MAX_LINE) return 'cut';
  }
  return rest.length === 0 ? 'whole' : 'cut';
}

/** A line as text, `undefined` when it is not UTF-8. */
export function textOf(line: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(line);
  } catch {
    return undefined;
  }
}
