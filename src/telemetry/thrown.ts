import { z } from 'zod';
import { Fault } from '../base/index.js';

/** What may be written of something thrown. */
export type DescribedThrown = Readonly<{
  code: string;
  /** The thrown thing and its causes, outermost first. */
  causes: readonly Readonly<{ name: string; code?: string; message?: string; at?: readonly string[] }>[];
}>;

/**
 * Describes an outage or a bug for operators. The sentence of a Fault is ours and names no value of a request; that of a
 * system call names an address. Every other message is left out: a driver quotes parameters in it, a parser its input.
 * Name, code and the lines of code that it came through say where to look.
 */
export function describeThrown(thrown: unknown): DescribedThrown {
  const causes: DescribedThrown['causes'][number][] = [];
  for (let at = thrown; at !== undefined && causes.length < MOST; at = at instanceof Error ? at.cause : undefined)
    causes.push(at instanceof Error ? describe(at) : { name: typeof at });
  return { code: thrown instanceof Fault ? thrown.code : 'internal', causes };
}

const MOST = 5;

function describe(error: Error): DescribedThrown['causes'][number] {
  const { code, syscall, name } = Known.parse(error);
  const isOurs = error instanceof Fault;
  const at = isOurs ? [] : framesOf(error);
  return {
    name: name ?? 'Error',
    ...(code === undefined ? {} : { code }),
    ...(isOurs || syscall !== undefined ? { message: error.message.slice(0, 500) } : {}),
    ...(at.length === 0 ? {} : { at }),
  };
}

const shortWord = z
  .string()
  .regex(/^[A-Za-z][A-Za-z0-9_]{0,63}$|^[0-9A-Z]{5}$/)
  .optional()
  .catch(undefined);
const Known = z
  .object({ name: shortWord, code: shortWord, syscall: shortWord })
  .catch({ name: undefined, code: undefined, syscall: undefined });

/** Names of functions and places in files, and of each line nothing else: a message can imitate a line of a stack. */
function framesOf({ stack, message }: Error): readonly string[] {
  const lines = (stack ?? '').replace(message, '').split('\n');
  return lines.flatMap((line) => FRAME.exec(line)?.slice(1, 3) ?? []).slice(0, FRAMES);
}

const FRAMES = 6;
const FRAME = /^ {4}at .{0,200}?((?:src|node_modules|node:)[\w@/.:-]{1,200}:\d{1,6}:\d{1,6})\)?$/;
