-- CreateTable
CREATE TABLE "outcome" (
    "key" TEXT NOT NULL,
    "content" TEXT NOT NULL,
    "server" TEXT NOT NULL,
    "token_hash" TEXT NOT NULL,
    "tool" TEXT NOT NULL,
    "outcome" TEXT NOT NULL,
    "flaw" TEXT,
    "leaf_hash" BYTEA NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outcome_pkey" PRIMARY KEY ("key")
);

-- CreateTable
CREATE TABLE "outcome_reporter" (
    "server" TEXT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "outcome_reporter_pkey" PRIMARY KEY ("server")
);

-- CreateIndex
CREATE INDEX "outcome_token_hash_tool_idx" ON "outcome"("token_hash", "tool");

-- CreateIndex
CREATE INDEX "outcome_server_flaw_at_idx" ON "outcome"("server", "flaw", "at");
