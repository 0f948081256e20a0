import { z } from 'zod';
import { Fault } from '../base/index.js';

/**
 * Runs a call of Prisma, one statement or one transaction; an outage of the database is thrown as a Fault, any other
 * error as it is. What the database rolled back because another was in its way is run again, so a call must do nothing
 * else that may not happen twice.
 */
export async function guarded<T>(call: () => PromiseLike<T>): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await call();
    } catch (error) {
      if (tried < TRIES && wasInTheWay(error)) continue;
      throw faultOf(error);
    }
  }
}

/** What is thrown for this error: a Fault when it is an outage of the database, else the error as it is. */
export const faultOf = (error: unknown): unknown => (isOutage(error) ? unavailable(error) : error);

const TRIES = 3;

/** serialization_failure and deadlock_detected: nothing of the call has happened. Prisma has a code of its own for both. */
const wasInTheWay = (error: unknown): boolean =>
  ['40001', '40P01'].includes(sqlState(error) ?? '') || Failure.parse(error).code === 'P2034';

/** True when the database, not the statement, is the reason. */
export function isOutage(error: unknown): boolean {
  if (error instanceof Fault) return false;
  const { name, code, message, syscall, clientVersion } = Failure.parse(error);
  const state = sqlState(error);
  if (state !== undefined) return OUTAGE_STATES.test(state);
  if (name === 'PrismaClientValidationError') return false;
  if (OUTAGE_KINDS.test(driverKind(error) ?? '')) return true;
  if (code?.startsWith('P') === true) return OUTAGE_CODES.test(code);
  if (code !== undefined && SOCKET_CODES.test(code)) return true;
  return clientVersion !== undefined || syscall !== undefined || DRIVER_GAVE_UP.test(message);
}

const unavailable = (cause: unknown): Fault => {
  const reason = sqlState(cause) ?? Failure.parse(cause).code;
  const message = `The database does not answer${reason === undefined ? '' : ` (${reason})`}.`;
  return new Fault('database_unavailable', message, { cause });
};

const word = z.string().optional().catch(undefined);
const Failure = z
  .object({ name: word, code: word, message: z.string().catch(''), syscall: word, clientVersion: word })
  .catch({ name: undefined, code: undefined, message: '', syscall: undefined, clientVersion: undefined });

/** Where SQLSTATE is: in Prisma's error, or in the driver's own. */
const SqlStates = z.union([
  z
    .object({ meta: z.object({ driverAdapterError: z.object({ cause: z.object({ originalCode: z.string() }) }) }) })
    .transform(({ meta }) => meta.driverAdapterError.cause.originalCode),
  z.object({ cause: z.object({ originalCode: z.string() }) }).transform(({ cause }) => cause.originalCode),
  z.object({ code: z.string(), severity: z.string() }).transform(({ code }) => code),
]);
export const sqlState = (error: unknown): string | undefined => SqlStates.safeParse(error).data;

/**
 * What the driver adapter says of an error that has no SQLSTATE: a connection that broke under a statement, for one. At
 * the end of a transaction it comes as it is, everywhere else within an error of Prisma's.
 */
const driverKind = (error: unknown): string | undefined => DriverKinds.safeParse(error).data;
const OfDriver = z.object({ cause: z.object({ kind: z.string() }) }).transform(({ cause }) => cause.kind);
const DriverKinds = z.union([
  z.object({ meta: z.object({ driverAdapterError: OfDriver }) }).transform(({ meta }) => meta.driverAdapterError),
  OfDriver,
]);
const OUTAGE_KINDS =
  /^(ConnectionClosed|DatabaseNotReachable|SocketTimeout|TlsConnectionError|TransactionAlreadyClosed)$/;

/**
 * Connection, access, missing database, read-only standby, rollback (others in the way, again and again), lock, resources,
 * intervention (timeouts too), system and internal errors.
 */
const OUTAGE_STATES = /^(08|28|3D|25006|40|53|55P03|57|58|XX)/;
/** Prisma's own: connection (P1…), pool timeout, transaction could not start or ran out of time, rollback, too many connections. */
const OUTAGE_CODES = /^P(1\d{3}|2024|2028|2034|2037)$/;
/** Node's own: a connection that is not there, or is over on either side. */
const SOCKET_CODES = /^(E(PIPE|CONN|HOST|NET|TIMEDOUT|AI_|NOTFOUND)|ERR_STREAM_|ERR_SOCKET_|ERR_TLS_|ERR_SSL_)/;
/** The driver's own, which have no code: their beginnings. The last two are of a server that does not keep to the protocol. */
const DRIVER_GAVE_UP =
  /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout|Cannot use a pool|Client was closed|Client has encountered|PGlite is closed|timeout expired|SASL: |The server does not support SSL|There was an error establishing an SSL|Received unexpected |received invalid response)/;
