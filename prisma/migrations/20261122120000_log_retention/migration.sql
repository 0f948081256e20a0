-- CreateTable
CREATE TABLE "log_retention" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "pruned" BIGINT NOT NULL DEFAULT 0,
    "announced" BIGINT NOT NULL DEFAULT 0,
    "leaf_hash" BYTEA,
    "previous_hash" BYTEA,
    "older_than" TIMESTAMPTZ(3),
    "announced_at" TIMESTAMPTZ(3),

    CONSTRAINT "log_retention_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "log_posting_tile_idx" ON "log_posting"("tile");

-- CreateIndex
CREATE INDEX "outcome_leaf_hash_idx" ON "outcome"("leaf_hash");

-- The one row that says what is removed
INSERT INTO "log_retention" ("id") VALUES (1);
