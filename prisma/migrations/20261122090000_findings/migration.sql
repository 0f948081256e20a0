-- CreateTable
CREATE TABLE "log_finding" (
    "number" BIGSERIAL NOT NULL,
    "id" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "session_id" TEXT,
    "server" TEXT,
    "txn" TEXT,
    "token_hash" TEXT,
    "facts" JSONB NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_finding_pkey" PRIMARY KEY ("number")
);

-- CreateIndex
CREATE UNIQUE INDEX "log_finding_id_key" ON "log_finding"("id");

-- CreateIndex
CREATE INDEX "log_finding_at_number_idx" ON "log_finding"("at", "number");

-- CreateIndex
CREATE INDEX "log_finding_kind_number_idx" ON "log_finding"("kind", "number");

-- CreateIndex
CREATE INDEX "log_finding_server_number_idx" ON "log_finding"("server", "number");

-- CreateIndex
CREATE INDEX "log_finding_session_id_idx" ON "log_finding"("session_id");

-- CreateIndex
CREATE INDEX "log_finding_token_hash_idx" ON "log_finding"("token_hash");
