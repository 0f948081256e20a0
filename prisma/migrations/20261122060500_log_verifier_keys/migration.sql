-- AlterTable
ALTER TABLE "log_tree" ADD COLUMN     "recovery" TEXT;

-- CreateTable
CREATE TABLE "log_verifier_key" (
    "vkey" TEXT NOT NULL,
    "from_size" BIGINT NOT NULL,
    "leaf_hash" BYTEA,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_verifier_key_pkey" PRIMARY KEY ("vkey")
);
