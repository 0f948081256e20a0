-- CreateTable
CREATE TABLE "agent_right" (
    "client_id" TEXT NOT NULL,
    "resource" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "granted_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_used_at" TIMESTAMPTZ(3),

    CONSTRAINT "agent_right_pkey" PRIMARY KEY ("client_id","resource","kind","name")
);

-- CreateTable
CREATE TABLE "agent_workload" (
    "actor" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "mark" TEXT NOT NULL,
    "last_seen" TIMESTAMPTZ(3) NOT NULL,

    CONSTRAINT "agent_workload_pkey" PRIMARY KEY ("actor","kind","mark")
);

-- CreateIndex
CREATE INDEX "agent_workload_last_seen_idx" ON "agent_workload"("last_seen");

-- Nobody knows what was used before: rights that are there count as granted now.
INSERT INTO "agent_right" ("client_id", "resource", "kind", "name")
SELECT a."client_id", c ->> 'resource', r.kind, r.name
FROM "agent" a
CROSS JOIN LATERAL jsonb_array_elements(coalesce(a."document" -> 'allow', '[]')) c
CROSS JOIN LATERAL (
    SELECT 'server' AS kind, '' AS name
    UNION ALL SELECT 'scope', s FROM jsonb_array_elements_text(c -> 'scopes') s
    UNION ALL SELECT 'tool', t FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(c -> 'tools') = 'array' THEN c -> 'tools' ELSE '[]' END) t
    UNION ALL SELECT 'tool', t ->> 'name' FROM "mcp_server" m CROSS JOIN LATERAL jsonb_array_elements(m."document" -> 'tools') t
    WHERE c -> 'tools' = '"*"' AND m."resource" = c ->> 'resource'
) r
ON CONFLICT DO NOTHING;
