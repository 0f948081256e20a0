-- AlterTable
ALTER TABLE "person" ADD COLUMN "salt" TEXT;

-- CreateTable
CREATE TABLE "log_webhook" (
    "id" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "sealed" BYTEA NOT NULL,
    "created_by" TEXT NOT NULL,
    "created_at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_webhook_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "log_posting" (
    "key" TEXT NOT NULL,
    "tile" BIGINT NOT NULL,
    "bits" BIT(256) NOT NULL,

    CONSTRAINT "log_posting_pkey" PRIMARY KEY ("key","tile")
);

-- One row for each key and tile, not one for each key and entry
DROP TABLE "log_key";
