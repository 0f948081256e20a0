-- CreateTable
CREATE TABLE "log_pending" (
    "leaf_id" BIGINT NOT NULL,
    "since" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_pending_pkey" PRIMARY KEY ("leaf_id")
);

-- CreateTable
CREATE TABLE "log_tree" (
    "id" INTEGER NOT NULL DEFAULT 1,
    "size" BIGINT NOT NULL DEFAULT 0,
    "holder" TEXT,
    "held_until" TIMESTAMPTZ(3),
    "halted" TEXT,

    CONSTRAINT "log_tree_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "log_entry" (
    "index" BIGINT NOT NULL,
    "leaf_id" BIGINT,
    "leaf_hash" BYTEA NOT NULL,

    CONSTRAINT "log_entry_pkey" PRIMARY KEY ("index")
);

-- CreateTable
CREATE TABLE "log_tile" (
    "level" SMALLINT NOT NULL,
    "index" BIGINT NOT NULL,
    "hashes" BYTEA NOT NULL,

    CONSTRAINT "log_tile_pkey" PRIMARY KEY ("level","index")
);

-- CreateTable
CREATE TABLE "log_checkpoint" (
    "size" BIGINT NOT NULL,
    "note" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_checkpoint_pkey" PRIMARY KEY ("size")
);

-- CreateTable
CREATE TABLE "log_cosignature" (
    "size" BIGINT NOT NULL,
    "name" TEXT NOT NULL,
    "line" TEXT NOT NULL,
    "at" TIMESTAMPTZ(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "log_cosignature_pkey" PRIMARY KEY ("size","name")
);

-- CreateTable
CREATE TABLE "log_key" (
    "key" TEXT NOT NULL,
    "index" BIGINT NOT NULL,

    CONSTRAINT "log_key_pkey" PRIMARY KEY ("key","index")
);

-- CreateTable
CREATE TABLE "log_consumer" (
    "name" TEXT NOT NULL,
    "index" BIGINT NOT NULL,

    CONSTRAINT "log_consumer_pkey" PRIMARY KEY ("name")
);

-- CreateIndex
CREATE UNIQUE INDEX "log_entry_leaf_id_key" ON "log_entry"("leaf_id");

-- CreateIndex
CREATE INDEX "log_entry_leaf_hash_idx" ON "log_entry"("leaf_hash");

-- Hashes do not compress; a tile stays out of its row, and the queue is swept often, for it is always nearly empty
ALTER TABLE "log_tile" ALTER COLUMN "hashes" SET STORAGE EXTERNAL;
ALTER TABLE "log_pending" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);

-- The one row that elects and orders
INSERT INTO "log_tree" ("id") VALUES (1);

-- Whoever writes a leaf queues it for the tree, in the same statement
CREATE FUNCTION "log_leaf_queue"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO log_pending (leaf_id) SELECT id FROM added;
  RETURN NULL;
END $$;

CREATE TRIGGER "log_leaf_queue" AFTER INSERT ON "log_leaf"
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION "log_leaf_queue"();

-- The leaves that are there already; the trigger holds back every writer until this is committed
INSERT INTO "log_pending" ("leaf_id", "since") SELECT "id", "at" FROM "log_leaf" ORDER BY "id";
