import { createConnection, createServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';

/** How a connection to the database ends, or does not, at a statement. */
export type Break =
  | 'reset before it'
  | 'reset after it'
  | 'closed before it'
  | 'closed after it'
  | 'cut in the middle of its answer'
  | 'reset after its answer'
  | 'terminated by the database before it'
  | 'silent before it'
  | 'silent after it';

type Trap = { readonly text: string; skip: number; readonly how: Break };

/**
 * A way to PostgreSQL that knows the statements that pass, and breaks at one that a test chooses. The protocol is read as
 * far as that needs (PostgreSQL, "Message Formats"): a statement is what a client sends up to its Sync.
 */
export class Wire {
  /** The texts of all statements that passed, in their order. */
  readonly texts: string[] = [];
  readonly #url: URL;
  readonly #admin: pg.Client;
  readonly #links = new Set<Link>();
  readonly #newcomers = new Set<Socket>();
  #meet: ((newcomer: Socket) => unknown) | undefined;
  readonly #server = createServer((inner) => {
    if (this.#meet !== undefined) {
      this.#newcomers.add(inner.on('error', () => undefined));
      this.#meet(inner);
      return;
    }
    const link: Link = new Link(inner, this.#reach(), (text) => this.#take(text, link));
    this.#links.add(link);
    inner.once('close', () => this.#links.delete(link));
  });
  #trap: Trap | undefined;

  private constructor(url: string) {
    this.#url = new URL(url);
    this.#admin = new pg.Client({ connectionString: url });
    // Whoever removes the database ends it.
    this.#admin.on('error', () => undefined);
  }

  static async open(url: string): Promise<Wire> {
    const wire = new Wire(url);
    await wire.#admin.connect();
    await new Promise<void>((resolve) => wire.#server.listen(0, '127.0.0.1', resolve));
    return wire;
  }

  /** The same database, this way. */
  get url(): string {
    const { username, password, pathname, searchParams } = this.#url;
    const user = username === '' ? (searchParams.get('user') ?? 'postgres') : username;
    const { port } = this.#server.address() as AddressInfo;
    return `postgresql://${user}${password === '' ? '' : `:${password}`}@127.0.0.1:${port}${pathname}`;
  }

  /** Breaks at the next statement with this text, or at one after it; answers whether it did. */
  set(text: string, how: Break, skip = 0): () => boolean {
    const trap: Trap = { text, how, skip };
    this.#trap = trap;
    return () => this.#trap !== trap;
  }

  /** Ends every connection, and lets this meet whoever comes, or again the database. */
  cut(meet?: (newcomer: Socket) => unknown): void {
    this.#meet = meet;
    for (const link of this.#links) link.close();
  }

  /** Asks the database itself, past everything. */
  async rows(sql: string, values: readonly unknown[] = []): Promise<readonly unknown[]> {
    return (await this.#admin.query<object>(sql, [...values])).rows;
  }

  /** What was silent speaks again: everything that was held goes its way. */
  resume(): void {
    for (const link of this.#links) link.resume();
  }

  async close(): Promise<void> {
    await this.#admin.end();
    for (const link of this.#links) link.close();
    for (const newcomer of this.#newcomers) newcomer.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #reach(): Socket {
    const { hostname, port, searchParams } = this.#url;
    const directory = searchParams.get('host');
    return directory === null
      ? createConnection(Number(port || 5432), hostname)
      : createConnection(join(directory, '.s.PGSQL.5432'));
  }

  #take(text: string, link: Link): boolean {
    this.texts.push(text);
    const trap = this.#trap;
    if (trap?.text !== text || trap.skip-- > 0) return true;
    this.#trap = undefined;
    return link.break(trap.how, async () => {
      await this.#admin.query('SELECT pg_terminate_backend($1)', [link.backend]);
    });
  }
}

/** One connection. */
class Link {
  /** The process of the database that serves it. */
  backend = 0;
  readonly #inner: Socket;
  readonly #outer: Socket;
  readonly #texts = new Map<string, string>();
  #text = '';
  #began = false;
  #isSilent = false;
  #held: (() => void)[] = [];
  #answer: (chunk: Buffer) => void;

  constructor(inner: Socket, outer: Socket, take: (text: string) => boolean) {
    this.#inner = inner;
    this.#outer = outer;
    this.#answer = (chunk) => {
      this.#tell(chunk);
    };
    const asked = messages((message, isFirst) => {
      this.#ask(message, isFirst, take);
    }, true);
    const answered = messages((message) => {
      if (message[0] === KEY_DATA) this.backend = message.readInt32BE(5);
    }, false);
    inner.on('data', asked);
    outer.on('data', (chunk: Buffer) => {
      answered(chunk);
      this.#answer(chunk);
    });
    for (const socket of [inner, outer]) socket.on('error', () => undefined);
    inner.once('close', () => outer.destroy());
    outer.once('close', () => inner.end());
  }

  /** Answers whether the statement still goes to the database now. */
  break(how: Break, terminate: () => Promise<void>): boolean {
    const end = how.startsWith('reset') ? () => this.#inner.resetAndDestroy() : () => this.#inner.destroy();
    switch (how) {
      case 'reset before it':
      case 'closed before it':
        end();
        return false;
      case 'reset after it':
      case 'closed after it':
        this.#answer = end;
        return true;
      case 'cut in the middle of its answer':
        this.#answer = (chunk) => {
          this.#inner.write(chunk.subarray(0, Math.ceil(chunk.length / 2)), end);
        };
        return true;
      case 'reset after its answer':
        this.#answer = (chunk) => {
          this.#inner.write(chunk, () => setImmediate(end));
        };
        return true;
      case 'terminated by the database before it':
        void terminate();
        return false;
      case 'silent before it': {
        const asked = this.#pending();
        this.#isSilent = true;
        this.#held.push(() => this.#outer.write(asked));
        return false;
      }
      case 'silent after it':
        this.#isSilent = true;
        return true;
    }
  }

  resume(): void {
    this.#isSilent = false;
    for (const go of this.#held.splice(0)) go();
  }

  close(): void {
    this.#inner.destroy();
    this.#outer.destroy();
  }

  readonly #burst: Buffer[] = [];

  #pending(): Buffer {
    return Buffer.concat(this.#burst.splice(0));
  }

  #ask(message: Buffer, isFirst: boolean, take: (text: string) => boolean): void {
    this.#burst.push(message);
    if (isFirst) this.#began = true;
    else this.#note(message);
    const isWhole = isFirst || !this.#began || ENDS.has(message[0] ?? 0);
    if (!isWhole) return;
    const isStatement = !isFirst && (message[0] === SYNC || message[0] === QUERY);
    if (this.#isSilent) {
      const held = this.#pending();
      this.#held.push(() => this.#outer.write(held));
    } else if (!isStatement || take(this.#text)) this.#outer.write(this.#pending());
  }

  /** Which text the statement has that is being asked for. */
  #note(message: Buffer): void {
    const words = message.toString('utf8', 5).split('\0');
    if (message[0] === PARSE) this.#texts.set(words[0] ?? '', words[1] ?? '');
    if (message[0] === PARSE || message[0] === QUERY) this.#text = words[message[0] === PARSE ? 1 : 0] ?? '';
    if (message[0] === BIND) this.#text = this.#texts.get(words[1] ?? '') ?? '';
  }

  #tell(chunk: Buffer): void {
    if (this.#isSilent) this.#held.push(() => this.#inner.write(chunk));
    else this.#inner.write(chunk);
  }
}

/** Cuts a stream into messages: a type and a length, but for the first one of a client, which has no type. */
function messages(each: (message: Buffer, isFirst: boolean) => void, hasStartup: boolean): (chunk: Buffer) => void {
  let rest = Buffer.alloc(0);
  let isFirst = hasStartup;
  return (chunk) => {
    rest = Buffer.concat([rest, chunk]);
    for (;;) {
      const at = isFirst ? 0 : 1;
      if (rest.length < at + 4) return;
      const size = at + rest.readInt32BE(at);
      if (rest.length < size) return;
      const message = rest.subarray(0, size);
      rest = rest.subarray(size);
      each(message, isFirst);
      isFirst = false;
    }
  };
}

const code = (letter: string): number => letter.charCodeAt(0);
const [PARSE, BIND, QUERY, SYNC, KEY_DATA] = ['P', 'B', 'Q', 'S', 'K'].map(code) as [
  number,
  number,
  number,
  number,
  number,
];
/** Sync, a simple query, Terminate, a password: what nothing else belongs to. */
const ENDS = new Set(['S', 'Q', 'X', 'p'].map(code));
