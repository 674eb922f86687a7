//! A session that hands on what it is asked.

/// Implements traits of a database's port for a type, whose field is a session: `forward!(Mine, session:
/// Tracking, Schema);`. What a test wants to go otherwise it writes itself.
#[macro_export]
macro_rules! forward {
    ($type:ty, $field:ident: $($part:ident),+ $(,)?) => {
        $($crate::forward! { @$part $type, $field })+
    };
    (@call $type:ty, $field:ident, $part:ident:
        $($name:ident($($argument:ident: $of:ty),*) -> $gives:ty;)*) => {
        #[async_trait::async_trait]
        impl sternway_database::port::$part for $type {
            $(async fn $name(&mut self, $($argument: $of),*) -> $gives {
                self.$field.$name($($argument),*).await
            })*
        }
    };
    (@Connection $type:ty, $field:ident) => {
        #[async_trait::async_trait]
        impl sternway_database::port::Connection for $type {
            fn identity(&self) -> &sternway_model::state::Identity {
                self.$field.identity()
            }

            fn tracking_table(&self) -> &str {
                self.$field.tracking_table()
            }

            fn facts(&self, body: &str) -> sternway_model::body::BodyFacts {
                self.$field.facts(body)
            }

            async fn external_effects(
                &mut self,
                body: &str,
            ) -> Result<Option<String>, sternway_database::DatabaseError> {
                self.$field.external_effects(body).await
            }

            async fn read_only(
                &mut self,
            ) -> Result<Option<String>, sternway_database::DatabaseError> {
                self.$field.read_only().await
            }

            async fn renew(&mut self) -> Result<(), sternway_database::Connect> {
                self.$field.renew().await
            }

            fn interrupter(&self) -> Box<dyn sternway_database::Interrupt> {
                self.$field.interrupter()
            }

            async fn query(
                &mut self,
                query: &str,
                most: usize,
            ) -> Result<Vec<Option<String>>, sternway_database::DatabaseError> {
                self.$field.query(query, most).await
            }
        }
    };
    (@Tracking $type:ty, $field:ident) => {
        #[async_trait::async_trait]
        impl sternway_database::port::Tracking for $type {
            async fn track(
                &mut self,
                table: &str,
            ) -> Result<sternway_model::state::TrackState, sternway_database::DatabaseError> {
                self.$field.track(table).await
            }

            async fn prepare_track(
                &mut self,
                table: &str,
            ) -> Result<(), sternway_database::DatabaseError> {
                self.$field.prepare_track(table).await
            }

            async fn set_track(
                &mut self,
                table: &str,
                position: sternway_model::state::TrackingRow,
            ) -> Result<(), sternway_database::DatabaseError> {
                self.$field.set_track(table, position).await
            }

            async fn underway(
                &mut self,
                table: &str,
            ) -> Result<Option<sternway_database::Underway>, sternway_database::DatabaseError> {
                self.$field.underway(table).await
            }
        }
    };
    (@Locks $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, Locks:
        lock(tables: &[String], lock_timeout: std::time::Duration)
            -> Result<(), sternway_database::LockError>;
        end_orphans(tables: &[String])
            -> Result<Vec<sternway_database::Holder>, sternway_database::DatabaseError>;
        unlock() -> Result<(), sternway_database::DatabaseError>;
    } };
    (@Schema $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, Schema:
        enter_schema(schema: &str) -> Result<(), sternway_database::DatabaseError>;
        tables(except: &[String])
            -> Result<std::collections::BTreeSet<String>, sternway_database::DatabaseError>;
        extensions()
            -> Result<std::collections::BTreeSet<String>, sternway_database::DatabaseError>;
        fingerprint(except: &[String])
            -> Result<sternway_model::proof::Fingerprint, sternway_database::DatabaseError>;
        statements_from(from: &sternway_model::proof::Fingerprint, except: &[String])
            -> Result<Vec<String>, sternway_database::DatabaseError>;
        attributes(object: &sternway_model::proof::ObjectName)
            -> Result<Vec<String>, sternway_database::DatabaseError>;
        drop_tables() -> Result<Vec<String>, sternway_database::DatabaseError>;
    } };
    (@RecordStore $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, RecordStore:
        records(app: &str)
            -> Result<sternway_model::state::Records, sternway_database::DatabaseError>;
        prepare_records()
            -> Result<sternway_model::state::RecordsAccess, sternway_database::DatabaseError>;
        begin_run(plan: &sternway_model::plan::Plan)
            -> Result<sternway_database::RunId, sternway_database::DatabaseError>;
        record(run: sternway_database::RunId, record: &sternway_model::journal::Record)
            -> Result<(), sternway_database::DatabaseError>;
        record_migrations(
            app: &str,
            track: &sternway_model::catalog::TrackName,
            migrations: &[sternway_model::catalog::Migration],
            bodies: &std::collections::BTreeMap<sternway_model::catalog::Digest, String>
        ) -> Result<(), sternway_database::DatabaseError>;
        unfinished(app: &str)
            -> Result<Option<sternway_database::Unfinished>, sternway_database::DatabaseError>;
        history(app: &str)
            -> Result<Vec<sternway_database::RunSummary>, sternway_database::DatabaseError>;
    } };
    (@Archive $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, Archive:
        measure(losses: &mut [sternway_model::effect::Loss])
            -> Result<(), sternway_database::DatabaseError>;
        archive(app: &str)
            -> Result<Vec<sternway_model::archive::Entry>, sternway_database::DatabaseError>;
        archive_page(id: sternway_model::archive::EntryId, offset: u64, limit: u64)
            -> Result<sternway_model::archive::Page, sternway_database::DatabaseError>;
        gives(
            app: &str,
            step: &sternway_model::plan::Migrate,
            column: &sternway_model::proof::ObjectName
        ) -> Result<sternway_database::asked::Misfits, sternway_database::DatabaseError>;
        drop_entry(id: sternway_model::archive::EntryId)
            -> Result<(), sternway_database::DatabaseError>;
        leave(ids: &[sternway_model::archive::EntryId])
            -> Result<Vec<sternway_model::archive::Restoration>, sternway_database::DatabaseError>;
        restore(ids: &[sternway_model::archive::EntryId])
            -> Result<Vec<sternway_model::archive::Restoration>, sternway_database::DatabaseError>;
    } };
    (@Clients $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, Clients:
        sessions()
            -> Result<Vec<sternway_database::Session>, sternway_database::DatabaseError>;
        end_sessions(sessions: &[sternway_database::Session])
            -> Result<(), sternway_database::DatabaseError>;
        orphans(tables: &[String], bodies: &[&str])
            -> Result<Vec<sternway_database::Orphan>, sternway_database::DatabaseError>;
        end_found_orphans(orphans: &[sternway_database::Orphan])
            -> Result<(), sternway_database::DatabaseError>;
        is_pooled() -> Result<bool, sternway_database::DatabaseError>;
    } };
    (@Fences $type:ty, $field:ident) => { $crate::forward! { @call $type, $field, Fences:
        prepare_fence(kind: &sternway_database::FenceKind)
            -> Result<sternway_database::Fence, sternway_database::DatabaseError>;
        raise_fence(
            app: &str,
            run: Option<sternway_database::RunId>,
            fence: &sternway_database::Fence
        ) -> Result<sternway_database::Raised, sternway_database::DatabaseError>;
        fences(app: &str)
            -> Result<Vec<sternway_database::Raised>, sternway_database::DatabaseError>;
        lower_fence(fence: &sternway_database::Raised)
            -> Result<(), sternway_database::DatabaseError>;
    } };
}
