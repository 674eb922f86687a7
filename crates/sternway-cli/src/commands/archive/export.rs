//! `sternway archive export`: the rows of an entry as CSV or SQL, a page at a time, so that an entry of
//! any size takes no more memory than a page.

use std::io::{self, BufWriter, Write};
use std::path::Path;

use sternway_model::archive::{Entry, Page};

use super::entry;
use super::sql::Sql;
use crate::args::{ExportArgs, ExportFormat};
use crate::failure::{Exit, Failure};
use crate::output::Exported;
use crate::wiring::Setup;

/// About how many bytes are read at once, and at most how many rows.
const PAGE_BYTES: u64 = 4 << 20;
const PAGE_ROWS: u64 = 20_000;

/// How many rows of an entry are read at once.
fn page_of(entry: &Entry) -> u64 {
    let width = entry.bytes / entry.waiting().max(1);
    (PAGE_BYTES / width.max(1)).clamp(1, PAGE_ROWS)
}

pub async fn export(setup: &Setup<'_>, args: &ExportArgs) -> Result<Exit, Failure> {
    let ui = setup.ui;
    if ui.is_json() && args.out.is_none() {
        let failure = Failure::new("two documents do not go to one output", Exit::Usage);
        return Err(failure.hint("--out FILE says where the rows go"));
    }
    let mut database = setup.connect().await?;
    let entry = entry(setup, &mut *database, args.id).await?;
    let writer = match args.format {
        ExportFormat::Csv => Writer::Csv,
        ExportFormat::Sql => Writer::Sql(Sql::of(setup.dialect(), database.identity(), &entry)),
    };
    let place =
        args.out.as_ref().map_or("standard output".to_owned(), |it| it.display().to_string());
    let failed = |error| Failure::of(format!("cannot write the rows to {place}"), error);
    let mut target = Target::open(args.out.as_deref()).map_err(failed)?;
    let (mut rows, size) = (0, page_of(&entry));
    loop {
        let page = database.archived(entry.id, rows, size).await;
        let page = page.map_err(|cause| Failure::to_ask("cannot read the entry", cause))?;
        if rows == 0 {
            writer.begin(&mut target, &entry, &page).map_err(failed)?;
        }
        let literals = page.literals.iter().map(Vec::as_slice).chain(std::iter::repeat(&[][..]));
        for (row, literals) in page.rows.iter().zip(literals) {
            writer.row(&mut target, &page, row, literals).map_err(failed)?;
        }
        let read = page.rows.len() as u64;
        rows += read;
        if read < size {
            break;
        }
    }
    writer.end(&mut target).map_err(failed)?;
    let bytes = target.finish(args.out.as_deref()).map_err(failed)?;
    if let Some(path) = &args.out {
        let file = path.display().to_string();
        let told = sternway_model::effect::counted(rows, "row");
        ui.note(format!("{told} of {} written to {file}", entry.lost));
        let (format, id) = ("sternway.archive.export/1", entry.id);
        ui.json(&Exported { format, id, lost: entry.lost, file, rows, bytes });
    }
    Ok(Exit::Done)
}

/// What is written, and how.
enum Writer {
    Csv,
    Sql(Sql),
}

impl Writer {
    fn begin(&self, to: &mut Target, entry: &Entry, page: &Page) -> io::Result<()> {
        match self {
            Self::Csv => csv(to, page.columns.iter().map(|name| Some(name.as_str()))),
            Self::Sql(sql) => to.write_all(sql.head(entry).as_bytes()),
        }
    }

    fn row(
        &self,
        to: &mut Target,
        page: &Page,
        row: &[Option<String>],
        literals: &[bool],
    ) -> io::Result<()> {
        match self {
            Self::Csv => csv(to, row.iter().map(Option::as_deref)),
            Self::Sql(sql) => to.write_all(sql.row(page, row, literals).as_bytes()),
        }
    }

    fn end(&self, to: &mut Target) -> io::Result<()> {
        match self {
            Self::Csv => Ok(()),
            Self::Sql(sql) => to.write_all(sql.tail().as_bytes()),
        }
    }
}

/// A line of CSV as in RFC 4180. A value is always quoted and a null never is, which is what
/// PostgreSQL's COPY reads; writers that quote where they must cannot tell null from empty.
fn csv<'a>(to: &mut Target, values: impl Iterator<Item = Option<&'a str>>) -> io::Result<()> {
    for (index, value) in values.enumerate() {
        if index > 0 {
            to.write_all(b",")?;
        }
        if let Some(value) = value {
            write!(to, "\"{}\"", value.replace('"', "\"\""))?;
        }
    }
    to.write_all(b"\r\n")
}

/// Where an export goes. A file is written beside its place first, for nobody else to read, and a
/// half-written one is never found there.
enum Target {
    File(BufWriter<tempfile::NamedTempFile>, u64),
    Out(BufWriter<io::Stdout>, u64),
}

impl Target {
    fn open(path: Option<&Path>) -> io::Result<Target> {
        let Some(path) = path else { return Ok(Target::Out(BufWriter::new(io::stdout()), 0)) };
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let file = tempfile::NamedTempFile::new_in(folder)?;
        Ok(Target::File(BufWriter::with_capacity(1 << 16, file), 0))
    }

    /// Puts the file in its place. Returns how many bytes were written.
    fn finish(self, path: Option<&Path>) -> io::Result<u64> {
        match (self, path) {
            (Self::File(file, bytes), Some(path)) => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                file.as_file().sync_all()?;
                file.persist(path).map_err(|error| error.error)?;
                Ok(bytes)
            }
            (Self::File(_, bytes), None) => Ok(bytes),
            (Self::Out(mut out, bytes), _) => {
                out.flush()?;
                Ok(bytes)
            }
        }
    }
}

impl Write for Target {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let (written, bytes) = match self {
            Self::File(file, bytes) => (file.write(buffer)?, bytes),
            Self::Out(out, bytes) => (out.write(buffer)?, bytes),
        };
        *bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file, _) => file.flush(),
            Self::Out(out, _) => out.flush(),
        }
    }
}
