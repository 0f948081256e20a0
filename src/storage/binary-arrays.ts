/** The values of one statement, each array of it in the form that PostgreSQL reads fastest. */
export type Encoder = (values: readonly unknown[]) => readonly unknown[];

/**
 * How to hand over the parameters of this text. An array as text is quoted member by member here and taken apart again
 * there; in the binary format it is copied. The casts of the text say of what type an array is, and whatever does not
 * fit its type exactly is left to the driver and the server, which refuse it.
 */
export function encoderOf(sql: string): Encoder {
  const types = new Map([...sql.matchAll(CAST)].map(([, number, name = '']) => [Number(number) - 1, TYPES.get(name)]));
  return (values) =>
    values.map((value, at) => {
      const type = types.get(at);
      return type === undefined || !Array.isArray(value) ? value : (encode(value, type) ?? value);
    });
}

const CAST = /\$(\d+)::(\w+)\[\]/g;

/** A type of members by its OID (pg_type). `sizeOf` is `undefined` for what is no value of it. */
type Member = Readonly<{
  oid: number;
  sizeOf(value: unknown): number | undefined;
  write(into: Buffer, value: unknown, at: number): void;
}>;

const isWhole = (value: unknown, most: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= -most && value <= most;

const TYPES: ReadonlyMap<string, Member> = new Map<string, Member>([
  [
    'text',
    {
      oid: 25,
      sizeOf: (value) => (typeof value === 'string' ? Buffer.byteLength(value) : undefined),
      write: (into, value, at) => {
        into.write(String(value), at);
      },
    },
  ],
  [
    'int',
    {
      oid: 23,
      sizeOf: (value) => (isWhole(value, 0x7f_ff_ff_ff) ? 4 : undefined),
      write: (into, value, at) => {
        into.writeInt32BE(Number(value), at);
      },
    },
  ],
  [
    'bigint',
    {
      oid: 20,
      sizeOf: (value) => (isWhole(value, Number.MAX_SAFE_INTEGER) ? 8 : undefined),
      write: (into, value, at) => {
        const whole = Number(value);
        into.writeInt32BE(Math.floor(whole / 0x1_00_00_00_00), at);
        into.writeUInt32BE(whole >>> 0, at + 4);
      },
    },
  ],
  [
    'bool',
    {
      oid: 16,
      sizeOf: (value) => (typeof value === 'boolean' ? 1 : undefined),
      write: (into, value, at) => {
        into.writeUInt8(value === true ? 1 : 0, at);
      },
    },
  ],
]);

/** Number of dimensions, whether there is a null, type; then for the one dimension its length and first subscript. */
const HEAD = 20;
const NULL = -1;

/** array_recv of PostgreSQL: the head, then each member behind its length. */
function encode(values: readonly unknown[], { oid, sizeOf, write }: Member): Buffer | undefined {
  if (values.length === 0) return undefined;
  const sizes: number[] = [];
  let total = HEAD;
  for (const value of values) {
    const size = value === null ? NULL : sizeOf(value);
    if (size === undefined) return undefined;
    sizes.push(size);
    total += 4 + Math.max(size, 0);
  }
  const into = Buffer.allocUnsafe(total);
  for (const [at, word] of [1, sizes.includes(NULL) ? 1 : 0, oid, values.length, 1].entries())
    into.writeInt32BE(word, at * 4);
  let at = HEAD;
  for (const [index, size] of sizes.entries()) {
    at = into.writeInt32BE(size, at);
    if (size === NULL) continue;
    write(into, values[index], at);
    at += size;
  }
  return into;
}
