/** Waits for this work until the caller gives up, whose reason is then thrown; the work itself goes on for whoever shares it. */
export async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  const over = new AbortController();
  const aborted = new Promise<void>((resolve) => {
    const end = (): void => {
      resolve();
    };
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true, signal: over.signal });
  });
  try {
    await Promise.race([aborted, work]);
    signal.throwIfAborted();
    return await work;
  } finally {
    over.abort();
  }
}
