import { z } from 'zod';

/** The answer of an MCP server to a request that was sent by hand. */
export type Reply = Readonly<{ status: number; error: string | undefined; words: string }>;

/**
 * Listens to what an agent sends, so that the demo can show the tokens, which the agent's own code never sees. It also
 * plays the thief: it sends a call with a token that it holds, by no SDK.
 */
export class Wire {
  /** The token of the last tool call. */
  token = '';

  readonly fetch = (url: string, init: RequestInit): Promise<Response> => {
    const isCall = typeof init.body === 'string' && init.body.includes('"tools/call"');
    if (isCall) this.token = (new Headers(init.headers).get('authorization') ?? '').replace(/^Bearer /, '');
    return fetch(url, init);
  };
}

/** One `tools/call` with this token, as anybody could send it who has the token. */
export async function callByHand(resource: string, token: string, call: ToolCall): Promise<Reply> {
  const response = await fetch(resource, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    },
    body: JSON.stringify({
      jsonrpc: '2.0',
      id: 1,
      method: 'tools/call',
      params: { name: call.tool, arguments: call.arguments },
    }),
  });
  const body = await response.text();
  return {
    status: response.status,
    error: /error="([a-z_]+)"/.exec(response.headers.get('www-authenticate') ?? '')?.[1],
    words: wordsIn(body),
  };
}

/** The text of a tool's answer, which comes plain or as one event; empty when no tool answered. */
function wordsIn(body: string): string {
  const json = /^data: (.*)$/m.exec(body)?.[1] ?? body;
  const answer = Answer.safeParse(JSON.parse(json));
  return answer.data?.result.content[0].text ?? '';
}

const Answer = z.object({ result: z.object({ content: z.tuple([z.object({ text: z.string() })]) }) });

export type ToolCall = Readonly<{ tool: string; arguments: Readonly<Record<string, string | number>> }>;
