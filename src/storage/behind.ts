/** Writes that nobody waits for; what cannot be written is reported, and nothing is thrown. */
export interface WritesBehind {
  add(write: Promise<void>): void;
  /** Resolves when everything that was added is written or reported. */
  flush(): Promise<void>;
}

export function writesBehind(onLoss: (error: unknown) => void): WritesBehind {
  const writing = new Set<Promise<void>>();
  return {
    add: (write) => {
      const done: Promise<void> = write.catch(onLoss).finally(() => writing.delete(done));
      writing.add(done);
    },
    flush: async () => {
      await Promise.all(writing);
    },
  };
}
