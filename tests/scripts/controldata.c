/*
 * STAND-IN, for tests alone: pg_controldata and pg_resetwal -n (pg_resetxlog) of PostgreSQL 9.6 to 12, which their archives lack.
 * Prints what pg_upgrade and the worker read, from the layout of src/include/catalog/pg_control.h of those versions on 64 bits.
 * Writes nothing: pg_upgrade resets the new cluster alone, with the new programs.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BEGINNING                                                                                                              \
  uint64_t id;                                                                                                                 \
  uint32_t version, catalog, state;                                                                                            \
  int64_t time;                                                                                                                \
  uint64_t checkpoint;

#define XIDS                                                                                                                   \
  uint32_t next_oid, next_multi, next_multi_offset, oldest_xid, oldest_xid_db, oldest_multi, oldest_multi_db;                  \
  int64_t checkpoint_time;                                                                                                     \
  uint32_t oldest_commit, newest_commit, oldest_active;

#define SETTINGS(senders)                                                                                                      \
  uint64_t unlogged, min_recovery;                                                                                             \
  uint32_t min_recovery_tli;                                                                                                   \
  uint64_t backup_start, backup_end;                                                                                           \
  bool backup_required;                                                                                                        \
  int32_t wal_level;                                                                                                           \
  bool hints;                                                                                                                  \
  int32_t connections, workers;                                                                                                \
  senders int32_t prepared, locks;                                                                                             \
  bool track;                                                                                                                  \
  uint32_t align;                                                                                                              \
  double format;                                                                                                               \
  uint32_t block, segment, wal_block, wal_segment, name, keys, toast, large;

struct checkpoint_11 {
  uint64_t redo;
  uint32_t tli, prev_tli;
  bool full;
  uint32_t epoch, next_xid;
  XIDS
};
struct checkpoint_12 {
  uint64_t redo;
  uint32_t tli, prev_tli;
  bool full;
  uint64_t next_xid;
  XIDS
};
struct control_960 {
  BEGINNING uint64_t previous;
  struct checkpoint_11 c;
  SETTINGS() bool times, float4, float8;
  uint32_t checksums;
};
struct control_1002 {
  BEGINNING uint64_t previous;
  struct checkpoint_11 c;
  SETTINGS() bool float4, float8;
  uint32_t checksums;
};
struct control_1100 {
  BEGINNING struct checkpoint_11 c;
  SETTINGS() bool float4, float8;
  uint32_t checksums;
};
struct control_1201 {
  BEGINNING struct checkpoint_12 c;
  SETTINGS(int32_t senders;) bool float4, float8;
  uint32_t checksums;
};

static const char *const states[] = {"starting up", "shut down", "shut down in recovery", "shutting down", "in crash recovery",
                                     "in archive recovery", "in production"};
static const char *const levels[] = {"minimal", "replica", "logical"};

#define NUMBER(label, value) printf("%s: %" PRIu64 "\n", label, (uint64_t)(value))
#define CHECKPOINT(label, value) NUMBER("Latest checkpoint's " label, value)
#define PRINT(control)                                                                                                         \
  do {                                                                                                                         \
    NUMBER("pg_control version number", (control).version);                                                                    \
    NUMBER("Catalog version number", (control).catalog);                                                                       \
    NUMBER("Database system identifier", (control).id);                                                                        \
    printf("Database cluster state: %s\n", states[(control).state]);                                                           \
    CHECKPOINT("TimeLineID", (control).c.tli);                                                                                 \
    printf("Latest checkpoint's NextXID: 0:%" PRIu32 "\n", (uint32_t)(control).c.next_xid);                                    \
    CHECKPOINT("NextOID", (control).c.next_oid);                                                                               \
    CHECKPOINT("NextMultiXactId", (control).c.next_multi);                                                                     \
    CHECKPOINT("NextMultiOffset", (control).c.next_multi_offset);                                                              \
    CHECKPOINT("oldestXID", (control).c.oldest_xid);                                                                           \
    CHECKPOINT("oldestMultiXid", (control).c.oldest_multi);                                                                    \
    printf("wal_level setting: %s\n", levels[(control).wal_level]);                                                            \
    NUMBER("max_connections setting", (control).connections);                                                                  \
    NUMBER("max_worker_processes setting", (control).workers);                                                                 \
    NUMBER("max_prepared_xacts setting", (control).prepared);                                                                  \
    NUMBER("max_locks_per_xact setting", (control).locks);                                                                     \
    printf("track_commit_timestamp setting: %s\n", (control).track ? "on" : "off");                                            \
    NUMBER("Maximum data alignment", (control).align);                                                                         \
    NUMBER("Database block size", (control).block);                                                                            \
    NUMBER("Blocks per segment of large relation", (control).segment);                                                         \
    NUMBER("WAL block size", (control).wal_block);                                                                             \
    NUMBER("Bytes per WAL segment", (control).wal_segment);                                                                    \
    NUMBER("Maximum length of identifiers", (control).name);                                                                   \
    NUMBER("Maximum columns in an index", (control).keys);                                                                     \
    NUMBER("Maximum size of a TOAST chunk", (control).toast);                                                                  \
    NUMBER("Size of a large-object chunk", (control).large);                                                                   \
    puts("Date/time type storage: 64-bit integers");                                                                           \
    printf("Float8 argument passing: %s\n", (control).float8 ? "by value" : "by reference");                                   \
    NUMBER("Data page checksum version", (control).checksums);                                                                 \
    printf("First log segment after reset: %08" PRIX32 "%08" PRIX32 "%08" PRIX32 "\n", (control).c.tli,                        \
           (uint32_t)((control).c.redo >> 32), (uint32_t)(control).c.redo / (control).wal_segment + 1);                        \
  } while (0)

int main(int argc, char **argv) {
  union {
    struct control_960 v960;
    struct control_1002 v1002;
    struct control_1100 v1100;
    struct control_1201 v1201;
  } control;
  char path[4096];
  FILE *file;
  if (argc > 1 && (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V"))) {
    puts("stand-in (PostgreSQL) " VERSION);
    return 0;
  }
  snprintf(path, sizeof path, "%s/global/pg_control", argc > 1 ? argv[argc - 1] : getenv("PGDATA"));
  file = fopen(path, "rb");
  if (!file || fread(&control, sizeof control, 1, file) != 1) {
    perror(path);
    return 1;
  }
  switch (control.v960.version) {
  case 960:
    PRINT(control.v960);
    break;
  case 1002:
    PRINT(control.v1002);
    break;
  case 1100:
    PRINT(control.v1100);
    break;
  case 1201:
    PRINT(control.v1201);
    break;
  default:
    fprintf(stderr, "control version %" PRIu32 " is unknown\n", control.v960.version);
    return 1;
  }
  return 0;
}
