import type { Writable } from './json.js';

/** A form request as http/ has read it: sizes checked, decoded, each parameter with all its values in order. */
export type FormRequest = Readonly<{
  form: ReadonlyMap<string, readonly string[]>;
  /** Raw header values by lower-case name; several when the header was sent several times. */
  header(name: string): readonly string[];
  /** 128 random bits for this request; names it in records, logs and the `X-Request-ID` of the answer. */
  requestId: string;
  /** W3C trace id, when the caller sent a valid `traceparent`. */
  traceId: string | undefined;
  /** The caller's whole `traceparent`, when it is valid. */
  traceparent: string | undefined;
  /** Where it comes from: an IPv4 address, or an IPv6 network (`2001:db8::/64`). */
  network: string;
  trace: Trace;
  /** True once the client has been told that this takes too long: nothing new is begun for it then. */
  isOver: () => boolean;
}>;

/** The steps of a request that a trace shows. */
export type Step = 'client' | 'subject' | 'opinions' | 'policy' | 'commit' | 'sign';

/** Runs one step, and times it where somebody wants to know; adds nothing to what it answers or throws. */
export type Trace = <T>(step: Step, work: () => T) => T;

/** Nobody wants to know. */
export const untraced: Trace = (_step, work) => work();

/** How a request ended, for operators: words of closed sets and registered ids, never a text that a client chose. */
export type Notes = Readonly<{
  outcome: 'permitted' | 'refused' | 'asked' | 'unauthenticated' | 'active' | 'inactive' | 'done' | 'outage';
  reason?: string;
  /** The client, once it has authenticated. */
  client?: string;
  /** A registered client that somebody claimed to be and did not prove. */
  claimed?: string | undefined;
}>;

/** An answer to be rendered by http/, all but its notes. A body of `undefined` is an empty one. */
export type Answer = Readonly<{
  status: number;
  headers: Readonly<Record<string, string>>;
  body: Writable;
  notes?: Notes;
}>;

/** RFC 6585 section 4, in the words of OAuth; `wait` in seconds. */
export const tooManyRequests = (
  wait: number,
): Answer & Readonly<{ body: { error: string; error_description: string } }> => ({
  status: 429,
  headers: { 'Cache-Control': 'no-store', 'Retry-After': String(wait) },
  body: { error: 'temporarily_unavailable', error_description: 'too many requests; wait as long as Retry-After says' },
});
