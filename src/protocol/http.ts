import type { Json } from './json.js';

/** A form request as http/ has read it: sizes checked, decoded, each parameter with all its values in order. */
export type FormRequest = Readonly<{
  form: ReadonlyMap<string, readonly string[]>;
  /** Raw header values by lower-case name; several when the header was sent several times. */
  header(name: string): readonly string[];
  /** 128 random bits for this request; names it in records, logs and the `X-Request-ID` of the answer. */
  requestId: string;
  /** W3C trace id, when the caller sent a valid `traceparent`. */
  traceId: string | undefined;
}>;

/** An answer to be rendered by http/. A body of `undefined` is an empty one. */
export type Answer = Readonly<{ status: number; headers: Readonly<Record<string, string>>; body: Json | undefined }>;
