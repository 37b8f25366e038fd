# Dump a database into a folder: complete under its name or not there at all, with its checksum beside it.
#
# From the environment, beside what connection.sh reads: FOLDER, BACKUP (its name), KEEP (how many backups), RESULT (a
# file for what came out). Run again it finds what is done.
mkdir -p "$FOLDER"
cd "$FOLDER"
file=$BACKUP.dump
# Of attempts that died in the middle; one that is under way is younger.
find . -name '*.part' -mmin +1440 -exec rm -f {} +

if [ ! -f "$file" ]; then
    pg_dump --format=custom --no-password --file="$file.part"
    # Read back: a dump that cannot be listed is none.
    pg_restore --list "$file.part" >/dev/null
    sha256sum "$file.part" | cut -d ' ' -f 1 >"$BACKUP.sha256.part"
    sync
    mv "$BACKUP.sha256.part" "$BACKUP.sha256"
    # Last: where the dump has its name, its checksum is there.
    mv "$file.part" "$file"
    sync
fi

# The newest first; by the time at which they were finished, whatever they are called.
ls -1t -- *.dump | tail -n "+$((KEEP + 1))" | while IFS= read -r old; do
    rm -f -- "$old" "${old%.dump}.sha256"
done

# The data of a table is listed apart from the table, and so is its place in a partitioned one.
tables=$(pg_restore --list "$file" | grep '^[0-9]*; [0-9]* [0-9]* TABLE ' | grep -Evc ' TABLE (DATA|ATTACH) ' || true)
printf '{"backup":"%s","sizeBytes":%s,"checksum":"sha256:%s","tables":%s,"finishedAt":"%s"}\n' \
    "$BACKUP" "$(stat -c %s "$file")" "$(cat "$BACKUP.sha256")" "$tables" "$(date -u -r "$file" +%Y-%m-%dT%H:%M:%SZ)" |
    tee "$RESULT"
