#!/bin/sh
# Makes the descriptions in registry/.sqlx anew, against which queries are checked at compile time.
# Run it after a change to a query or to a migration, and commit what it writes.
# It needs cargo and the sqlite3 shell. The schema comes from registry/migrations alone.
set -eu
cd "$(dirname "$0")"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for migration in migrations/*.sql; do
    sqlite3 -bail "$folder/schema.db" < "$migration"
done
rm -rf .sqlx
mkdir .sqlx
# The macros run only when the crate is compiled, so it must look changed.
touch src/lib.rs
SQLX_OFFLINE=false SQLX_OFFLINE_DIR="$PWD/.sqlx" DATABASE_URL="sqlite://$folder/schema.db" cargo check --quiet --package registry
touch src/lib.rs
SQLX_OFFLINE=true cargo check --quiet --package registry
echo "$(find .sqlx -name 'query-*.json' | wc -l) queries described in registry/.sqlx"
