/** Sleeps that end early, once and for all. */
export function sleeper(): Readonly<{ until: (ms: number) => Promise<void>; end: () => void; isOver: () => boolean }> {
  let over = false;
  let wake = (): void => undefined;
  return {
    until: (ms) =>
      new Promise((resolve) => {
        wake = resolve;
        if (over) resolve();
        else setTimeout(resolve, ms).unref();
      }),
    end: () => {
      over = true;
      wake();
    },
    isOver: () => over,
  };
}
