-- Since when the registry says that the server reports outcomes: calls that were permitted before make no finding
ALTER TABLE "mcp_server" ADD COLUMN "outcomes_since" TIMESTAMPTZ(3);
