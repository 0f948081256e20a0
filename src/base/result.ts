/** What a step gives back: its value, or the refusal that says why there is none. Outages are thrown (see fault.ts). */
export type Result<T, E> = Ok<T> | Err<E>;
export type Ok<T> = Readonly<{ ok: true; value: T }>;
export type Err<E> = Readonly<{ ok: false; error: E }>;

/** The step succeeded with this value. */
export const ok = <T>(value: T): Ok<T> => ({ ok: true, value });

/** The step refused for this reason. */
export const err = <E>(error: E): Err<E> => ({ ok: false, error });
