/** One thing that was looked at: what was found, and what to do when it is not right. */
export type Check = Readonly<{ check: string; state: 'ok' | 'warn' | 'wrong'; found: string; do: string }>;

export const ok = (check: string, found: string): Check => ({ check, state: 'ok', found, do: '' });
export const warn = (check: string, found: string, todo: string): Check => ({ check, state: 'warn', found, do: todo });
export const wrong = (check: string, found: string, todo: string): Check => ({
  check,
  state: 'wrong',
  found,
  do: todo,
});
