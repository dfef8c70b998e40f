"""Full text on PostgreSQL: word vectors beside the chunks, kept in step by triggers. SQLite has its own since 0001.

Words are cut as FTS5's unicode61 cuts them: letters and digits, without case and diacritics; and stemmed by Porter's
algorithm without stop words. Triggers run once a statement, for a row of totals that is changed once a row would have
as many versions in one transaction.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

MOST = 200_000  # characters of a chunk that are searched by words; a word vector cannot hold more than 1 MB

UP = [
    "CREATE TEXT SEARCH DICTIONARY chunk_stem (TEMPLATE = snowball, Language = porter)",
    'CREATE TEXT SEARCH CONFIGURATION chunk_words (PARSER = "default")',
    "ALTER TEXT SEARCH CONFIGURATION chunk_words ADD MAPPING FOR asciiword, word, numword, asciihword, hword, numhword,"
    " hword_asciipart, hword_part, hword_numpart, email, url, url_path, host, file, version, sfloat, float, int, uint"
    " WITH chunk_stem",
    f"""CREATE FUNCTION chunk_words(written text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
        SELECT to_tsvector('chunk_words', regexp_replace(regexp_replace(
            normalize(lower(left(written, {MOST}) COLLATE "und-x-icu"), NFD), '[\\u0300-\\u036f]+', '', 'g'),
            '[^[:alnum:]]+', ' ', 'g'))
    $$""",
    """CREATE FUNCTION chunk_length(words tsvector) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
        SELECT coalesce(sum(cardinality(positions)), 0)::integer FROM unnest(words)
    $$""",
    "CREATE TABLE chunks_fts (id bigint PRIMARY KEY, collection_id integer NOT NULL, words tsvector NOT NULL,"
    " length integer NOT NULL)",
    "CREATE INDEX chunks_fts_words ON chunks_fts USING gin (words)",
    "CREATE TABLE chunks_fts_totals (chunks bigint NOT NULL, words bigint NOT NULL)",
    "INSERT INTO chunks_fts_totals VALUES (0, 0)",
    """CREATE FUNCTION chunks_fts_insert() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WITH made AS (
            INSERT INTO chunks_fts SELECT id, collection_id, words, chunk_length(words) FROM (
                SELECT id, collection_id, chunk_words(heading || ' ' || text) AS words FROM changed OFFSET 0) AS cut
            RETURNING length)
        UPDATE chunks_fts_totals SET chunks = chunks + (SELECT count(*) FROM made),
            words = words + (SELECT coalesce(sum(length), 0) FROM made);
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION chunks_fts_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        WITH gone AS (DELETE FROM chunks_fts USING changed WHERE chunks_fts.id = changed.id RETURNING length)
        UPDATE chunks_fts_totals SET chunks = chunks - (SELECT count(*) FROM gone),
            words = words - (SELECT coalesce(sum(length), 0) FROM gone);
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION chunks_fts_update() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE fresh tsvector := chunk_words(NEW.heading || ' ' || NEW.text);
    BEGIN
        UPDATE chunks_fts_totals SET words = words + chunk_length(fresh)
            - (SELECT length FROM chunks_fts WHERE id = NEW.id);
        UPDATE chunks_fts SET words = fresh, length = chunk_length(fresh) WHERE id = NEW.id;
        RETURN NULL;
    END $$""",
    "CREATE TRIGGER chunks_fts_insert AFTER INSERT ON chunks REFERENCING NEW TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION chunks_fts_insert()",
    "CREATE TRIGGER chunks_fts_delete AFTER DELETE ON chunks REFERENCING OLD TABLE AS changed"
    " FOR EACH STATEMENT EXECUTE FUNCTION chunks_fts_delete()",
    "CREATE TRIGGER chunks_fts_update AFTER UPDATE OF heading, text ON chunks FOR EACH ROW"
    " WHEN ((OLD.heading, OLD.text) IS DISTINCT FROM (NEW.heading, NEW.text)) EXECUTE FUNCTION chunks_fts_update()",
]

DOWN = [
    *(f"DROP TRIGGER {name} ON chunks" for name in ("chunks_fts_insert", "chunks_fts_delete", "chunks_fts_update")),
    *(f"DROP FUNCTION {name}()" for name in ("chunks_fts_insert", "chunks_fts_delete", "chunks_fts_update")),
    "DROP TABLE chunks_fts_totals",
    "DROP TABLE chunks_fts",
    "DROP FUNCTION chunk_length(tsvector)",
    "DROP FUNCTION chunk_words(text)",
    "DROP TEXT SEARCH CONFIGURATION chunk_words",
    "DROP TEXT SEARCH DICTIONARY chunk_stem",
]


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in UP:
            op.execute(statement)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for statement in DOWN:
            op.execute(statement)
