# Reads SQL text of pg_dump, pg_dumpall or pg_restore and writes down what it holds:
#   check     statements that a loaded database answers with what it lacks (see held_check in given.sh)
#   counts    the rows of each COPY, in order
#   names     the databases that it creates
#   spaces    the tablespaces that it makes, or that databases are made in
#   totals    NAME NUMBER lines
# With pass=1 it is the filter of the load instead: what an empty cluster has already is left out, and the end is told.
function literal(text) { gsub(/\047/, "\047\047", text); return "\047" text "\047" }

function unquoted(text) {
  if (text ~ /^"/) {
    text = substr(text, 2, length(text) - 2)
    gsub(/""/, "\"", text)
  }
  return text
}

# The table of a COPY: up to the first blank outside of quotes.
function copied(line,   i, c, inside) {
  for (i = 6; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (c == "\"") inside = !inside
    else if (c == " " && !inside) break
  }
  return substr(line, 6, i - 6)
}

# The role that a statement ends with, which the load asks for.
function named(line,   i, role) {
  sub(/( WITH GRANT OPTION)?;$/, "", line)
  i = length(line)
  if (substr(line, i) == "\"") {
    # Back to the quote that begins the name; two of them are one of its characters.
    for (i--; i > 0; i--)
      if (substr(line, i, 1) == "\"" && substr(line, --i, 1) != "\"") break
    i++
  } else {
    while (i > 1 && substr(line, i - 1, 1) != " ") i--
  }
  role = substr(line, i)
  if (role == "PUBLIC") return
  role = unquoted(role)
  if (!pass && !(role in roles_named)) { roles_named[role] = 1; print role > owner }
}

BEGIN { head = 1; superuser = ENVIRON["PGUP_SUPERUSER"] }

copying {
  if (pass) print
  if ($0 == "\\.") {
    copying = 0
    blocks++
    rows += n
    if (!pass) print n > counts
    key = path SUBSEP table
    if (!(key in held)) { order[++tables] = key; names_of[key] = table; paths[key] = path }
    held[key] += n
  } else {
    n++
    bytes += length($0) + 1
  }
  next
}

# Only what pg_dump itself has announced: the text of a function may hold such a line, too.
/^COPY .* FROM stdin;$/ && p1 == "" && p2 == "--" && p3 ~ /^-- Data for Name: .*; Type: TABLE DATA; / {
  if (pass) print
  copying = 1
  head = end = n = 0
  table = copied($0)
  p1 = p2 = p3 = "-"
  next
}

{ p3 = p2; p2 = p1; p1 = $0 }

/^-- PostgreSQL database cluster dump$/ { cluster = clusters = 1 }
/^-- PostgreSQL database cluster dump complete$/ { cluster = 0; end = 1 }
/^-- PostgreSQL database dump complete$/ { end = !cluster }
/^-- Dumped from database version / { from = $6 }
/^-- Dumped by pg_dump version / { by = $6 }
$0 != "" && !/^--/ && !/^\\unrestrict / { end = 0 }

/^(CREATE|COPY|INSERT|\\connect) / { head = 0 }
/^INSERT INTO / { inserts++ }
/^SET search_path = / || /^SELECT pg_catalog\.set_config\(\047search_path\047, \047\047, false\);$/ { path = $0 }
/^SELECT pg_catalog\.setval\(\047.*\047, -?[0-9]+, (true|false)\);$/ {
  sequences++
  line = $0
  sub(/^SELECT pg_catalog\.setval/, "SELECT pg_temp.held_value", line)
  if (!pass) print path "\n" line > check
}
/^SELECT pg_catalog\.lo_open\(/ { objects++ }
# Not the text of a function: databases come after the roles.
/^CREATE ROLE / && cluster && !connects {
  roles++
  if (pass && unquoted(substr($0, 13, length($0) - 13)) == superuser) next
}
/^CREATE TABLESPACE .* OWNER .*;$/ && cluster && !connects && !pass {
  line = substr($0, 19)
  sub(/ OWNER .*/, "", line)
  print line >> spaces
}
/^\\connect / { connects++ }
/^CREATE DATABASE / {
  line = substr($0, 17)
  sub(/ WITH .*;$|;$/, "", line)
  if (!pass) print unquoted(line) > names
  line = $0
  if (!pass && sub(/^.* WITH TEMPLATE = template0 .*TABLESPACE = /, "", line)) print substr(line, 1, length(line) - 1) >> spaces
}
/^ALTER [A-Z ]+ .* OWNER TO .*;$/ || /^CREATE SCHEMA .* AUTHORIZATION .*;$/ {
  named($0)
}
/^(GRANT|ALTER DEFAULT PRIVILEGES) .* TO .*;$/ && !/^GRANT .* GRANTED BY / {
  named($0)
}

pass {
  if (/^\\(un)?restrict / && !restricts) next
  # What --clean drops first is not there; only these are made again without a question.
  if (head && /^DROP /) {
    if (/^DROP ROLE / || !/^DROP (SCHEMA|DATABASE|EXTENSION) /) next
    if (!/ IF EXISTS /) sub(/^DROP [A-Z]+/, "& IF EXISTS")
  }
  if (head && /^ALTER .* DROP (CONSTRAINT|DEFAULT|IDENTITY)/) next
  print
}

END {
  if (pass) {
    if (end && !copying) print "\\echo PGUP-END"
    exit
  }
  for (i = 1; i <= tables; i++) {
    key = order[i]
    print paths[key] "\nSELECT pg_temp.held_rows(" literal(names_of[key]) ", " held[key] ");" > check
  }
  printf "" > counts
  printf "tables %d\nblocks %d\nrows %.0f\nbytes %.0f\nsequences %d\nlarge_objects %d\ninserts %d\nroles %d\nclusters %d\nconnects %d\nend %d\ncopying %d\nfrom %s\nby %s\n", \
    tables, blocks, rows, bytes, sequences, objects, inserts, roles, clusters, connects, end && !copying, copying, from, by > totals
}
