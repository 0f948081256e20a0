import { setTimeout as pause } from 'node:timers/promises';
import { PrivateJwk } from 'writ/protocol';
import { createVerifier, VerifierError } from 'writ/verifier';
import { RESOURCE } from './cast.js';
import type { Rig } from './rig.js';

/** What a verifier promises for a tool of a low tier, whatever happens to its feed. */
export const BOUND_MS = 5_000;
/** A heartbeat of the feed is missing: whoever waits longer is not connected. */
const GAP_MS = 400;
const GIVE_UP_MS = 30_000;
const KEPT = 400;

/**
 * How a call ended, when, and why: the reason of its signal. `late` was never told to stop, `refused` never began. Where the
 * verifier had nothing against the token, but no feed that is young enough, it is `blind`, and `unbegun` when it never began.
 */
export type Ended = Readonly<{ how: 'stopped' | 'blind' | 'late' | 'refused' | 'unbegun'; why: string; ms: number }>;

/** A verifier as an MCP server has it, which follows the feed of one process, and of the next when that one does not answer. */
export class Following {
  readonly #handle: (request: Request) => Promise<Response>;
  readonly #verifier: ReturnType<typeof createVerifier>;
  readonly #came: number[] = [];
  /** The address that it follows, and the last number that came from there. */
  follows = '';
  position = 0;

  constructor({ servers, cast: { issuer, signers } }: Rig, n: number) {
    this.#verifier = createVerifier({
      issuer,
      resource: RESOURCE,
      introspection: { clientId: 'srv_files', key: PrivateJwk.parse(signers.srv_files.pair.privateJwk) },
      outcomes: false,
      feed: true,
      timeoutMs: 10_000,
      fetch: async (url, init) => {
        for (let tried = 0; ; tried++) {
          const { address } = servers[(n + tried) % servers.length] ?? servers[0];
          try {
            const response = await fetch(url.replace(issuer, address), init);
            return url.includes('/events') ? this.#watched(response, address) : response;
          } catch (thrown) {
            if (tried === servers.length - 1 || init.signal?.aborted === true) throw thrown;
          }
        }
      },
    });
    const guard = this.#verifier.guard();
    const running = guard.tool('read_file', (_args: object, { signal }) => stopOf(signal));
    this.#handle = guard.fetch(async (_request, { authInfo }) => Response.json(await running({}, { authInfo })));
  }

  /** A call that runs until it is told to stop. */
  async call(token: string): Promise<Ended> {
    for (let tried = 0; tried < 100; tried++) {
      const answer = await this.#handle(requestWith(token));
      if (answer.status === 200) {
        const { why, isBlind } = Object.assign({ why: '', isBlind: false }, await answer.json());
        return { how: isBlind ? 'blind' : why === '' ? 'late' : 'stopped', why, ms: performance.now() };
      }
      // A feed that is too old for a moment, as after a kill, is no refusal of the token.
      if (answer.status !== 503) return { how: 'refused', why: await answer.text(), ms: performance.now() };
      await pause(100);
    }
    return { how: 'unbegun', why: 'feed_stale', ms: performance.now() };
  }

  /** Whether it still lets a new call through. */
  async admits(token: string): Promise<boolean> {
    return (await this.#handle(requestWith(token))).status === 200;
  }

  /** Whether the feed came all the time, heartbeat after heartbeat. */
  wasConnected(from: number, to: number): boolean {
    const came = this.#came.filter((ms) => ms > from - GAP_MS && ms <= to);
    return [...came, to].every((ms, n) => ms - (came[n - 1] ?? from) <= GAP_MS);
  }

  /** How long ago something of the feed came, before this moment. */
  silenceMs(at: number): number {
    return Math.round(at - (this.#came.findLast((ms) => ms <= at) ?? -Infinity));
  }

  close(): Promise<void> {
    return this.#verifier.close();
  }

  #watched({ body, status, headers }: Response, address: string): Response {
    if (body === null) return new Response(null, { status, headers });
    this.follows = address;
    const note = (chunk: Uint8Array): void => {
      this.#came.push(performance.now());
      if (this.#came.length > KEPT) this.#came.shift();
      const [last] = [...new TextDecoder().decode(chunk).matchAll(/^id: (\d+)$/gm)].slice(-1);
      if (last !== undefined) this.position = Number(last[1]);
    };
    const watch = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        note(chunk);
        controller.enqueue(chunk);
      },
    });
    return new Response(body.pipeThrough(watch), { status, headers });
  }
}

const requestWith = (token: string): Request =>
  new Request(RESOURCE, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json' },
    body: CALL,
  });

const CALL = JSON.stringify({
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'read_file', arguments: {} },
});

type Stop = Readonly<{ why: string; isBlind: boolean }>;

const stopOf = (signal: AbortSignal): Promise<Stop> =>
  new Promise((resolve) => {
    const stop = setTimeout(resolve, GIVE_UP_MS, { why: '', isBlind: false });
    signal.addEventListener('abort', () => {
      clearTimeout(stop);
      const reason: unknown = signal.reason;
      resolve({ why: whyOf(reason), isBlind: reason instanceof VerifierError && reason.reason === 'feed_stale' });
    });
  });

const whyOf = (reason: unknown): string =>
  reason instanceof Error ? `${reason.message}${reason.cause === undefined ? '' : `: ${whyOf(reason.cause)}`}` : '';
