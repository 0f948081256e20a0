import { isObject, type Json, type JsonObject, readJsonLoosely } from './json.js';

/** More than this is not kept of one answer; it passes on, unread. */
const MAX_LENGTH = 4 * 1024 * 1024;

/**
 * The same answer of an MCP server, which tells `onTools` the entries of each `tools/list` result in it, as they were
 * sent, before its reader has the end of them. What is no such answer passes on untouched.
 */
export function watchToolsList(response: Response, onTools: (tools: readonly JsonObject[]) => void): Response {
  const { body, status, statusText, headers } = response;
  if (body === null || !response.ok) return response;
  const reader = readerFor(headers.get('content-type') ?? '', (text) => {
    const tools = toolsIn(readJsonLoosely(text));
    if (tools !== undefined) onTools(tools);
  });
  const decoder = new TextDecoder();
  const watched = body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => {
        reader.take(decoder.decode(chunk, { stream: true }));
        controller.enqueue(chunk);
      },
      flush: () => {
        reader.end();
      },
    }),
  );
  return new Response(watched, { status, statusText, headers });
}

function toolsIn(message: Json | undefined): readonly JsonObject[] | undefined {
  const result = isObject(message) ? message['result'] : undefined;
  const tools = isObject(result) ? result['tools'] : undefined;
  return isList(tools) ? tools.filter(isObject) : undefined;
}

const isList = (value: Json | undefined): value is readonly Json[] => Array.isArray(value);

type Reader = Readonly<{ take(text: string): void; end(): void }>;

/** One JSON text, or the messages of an event stream each when it is complete. */
function readerFor(contentType: string, onMessage: (text: string) => void): Reader {
  let held = '';
  const isEvents = contentType.toLowerCase().startsWith('text/event-stream');
  const take = (text: string): void => {
    if (held.length <= MAX_LENGTH) held += text;
    if (!isEvents || held.length > MAX_LENGTH) return;
    const events = held.split(/\r\n\r\n|\n\n|\r\r/);
    held = events.pop() ?? '';
    for (const event of events) onMessage(dataOf(event));
  };
  const end = (): void => {
    if (held.length <= MAX_LENGTH) onMessage(isEvents ? dataOf(held) : held);
  };
  return { take, end };
}

/** HTML section 9.2.6: the lines of `data`, joined. */
const dataOf = (event: string): string =>
  event
    .split(/\r\n|\n|\r/)
    .flatMap((line) => (line.startsWith('data:') ? [line.slice(line.startsWith('data: ') ? 6 : 5)] : []))
    .join('\n');
