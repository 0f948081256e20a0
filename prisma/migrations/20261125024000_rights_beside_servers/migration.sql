-- Nobody counted what was used before: rights of no MCP server that are there count as granted now.
INSERT INTO "agent_right" ("client_id", "resource", "kind", "name")
SELECT a."client_id", '', 'hand_over', heir
FROM "agent" a CROSS JOIN LATERAL jsonb_array_elements_text(coalesce(a."document" -> 'hand_over_to', '[]')) heir
UNION ALL
SELECT a."client_id", '', 'domain', '' FROM "agent" a WHERE a."document" -> 'transaction_tokens' = 'true'
ON CONFLICT DO NOTHING;
