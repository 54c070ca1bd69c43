//! Which keys of a connector or a sink differ between two configurations.

use super::{Connector, Sink, SinkKind};

impl Connector {
    /// The keys, as they are written, of which another configuration of it says something else.
    pub(crate) fn differs_in(&self, other: &Self) -> Vec<&'static str> {
        // Taken apart field by field, so that a new one does not compile until it has a key here.
        let Self {
            name: _,
            uses,
            program,
            args,
            schedule,
            labels,
            config,
            limits,
            isolation,
            times,
            records_max,
            rules,
            policy,
            freshness,
        } = self;
        let bounds = |it: &Self| (it.times.sync, it.times.stall, it.times.start, it.times.call);
        let rate = |it: &Self| it.times.rate;
        let differs = [
            ("use", (uses, program) != (&other.uses, &other.program)),
            ("args", *args != other.args),
            ("schedule", *schedule != other.schedule),
            ("labels", *labels != other.labels),
            ("config", *config != other.config),
            (
                "limits",
                *limits != other.limits
                    || bounds(self) != bounds(other)
                    || rate(self) != rate(other)
                    || *records_max != other.records_max,
            ),
            ("allow, isolation or pin", *isolation != other.isolation),
            ("idle_timeout", times.idle != other.times.idle),
            ("restart", *rules != other.rules),
            ("guard", *policy != other.policy || *freshness != other.freshness),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}

impl Sink {
    /// The same of a sink.
    pub(crate) fn differs_in(&self, other: &Self) -> Vec<&'static str> {
        let Self { name: _, from, kind } = self;
        let mut differs = vec![("from", *from != other.from)];
        match (kind, &other.kind) {
            (
                SinkKind::File { path, rotate_bytes, keep },
                SinkKind::File { path: path2, rotate_bytes: rotate2, keep: keep2 },
            ) => differs.extend([
                ("path", path != path2),
                ("rotate", rotate_bytes != rotate2),
                ("keep", keep != keep2),
            ]),
            (
                SinkKind::Webhook { url, secret, batch_max, timeout },
                SinkKind::Webhook {
                    url: url2,
                    secret: secret2,
                    batch_max: batch2,
                    timeout: timeout2,
                },
            ) => differs.extend([
                ("url", url != url2),
                ("secret", secret != secret2),
                ("batch", batch_max != batch2),
                ("timeout", timeout != timeout2),
            ]),
            _ => differs.push(("type", true)),
        }
        differs.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
