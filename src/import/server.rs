//! One `server` of nginx and its way to the registry, as a configuration of ours.

use std::collections::BTreeMap;

use super::access;
use super::access::{Access, Need};
use super::condition;
use super::condition::{Conditions, Effect};
use super::draft::{Draft, Prefix, Table};
use super::headers;
use super::known;
use super::limits;
use super::listen;
use super::listen::Shared;
use super::location;
use super::location::{Kind, kind};
use super::policy;
use super::report::{Fate, Report};
use super::scope::Scope;
use super::tree::Directive;
use super::upstream;

/// A server that leads the registry API to a registry.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    /// The server; `None` for locations that stand in none.
    pub server: Option<&'a Directive>,
    scope: Scope<'a>,
    /// The blocks down to the location of the API.
    chain: Vec<&'a Directive>,
    /// The last of them.
    place: &'a Directive,
    /// Its own words say that it is about a registry.
    pub speaks_of_a_registry: bool,
}

/// What all servers share.
#[derive(Debug)]
pub(super) struct Around<'a> {
    /// The lines of the `http` block.
    pub http: Vec<&'a Directive>,
    /// What all servers say of each address.
    pub shared: BTreeMap<String, Shared>,
    /// Where relative paths begin.
    pub prefix: Prefix,
}

/// The path of the list of repositories.
const CATALOG: &str = "/v2/_catalog";

/// What is in force at the location that most paths of the API lead to.
struct Main<'a> {
    certified: bool,
    conditions: &'a Conditions,
    upstream: &'a Table,
}

impl Main<'_> {
    /// Whether these turn somebody away who comes to the main location.
    fn lacks(&self, conditions: &Conditions) -> bool {
        let lacks = |effect: Effect| conditions.have(effect) && !self.conditions.have(effect);
        (lacks(Effect::Certificate) && !self.certified)
            || lacks(Effect::HttpsOnly)
            || lacks(Effect::NoOldDocker)
            || conditions
                .agents
                .iter()
                .any(|agent| !self.conditions.agents.contains(agent))
    }
}

impl<'a> Candidate<'a> {
    /// The server, if it leads the API to a registry.
    pub(super) fn new(http: &[&'a Directive], server: &'a Directive) -> Option<Self> {
        let scope = Scope::of(http.to_vec()).inside(server.children());
        Self::of(Some(server), scope)
    }

    /// The same for locations that stand in no server.
    pub(super) fn bare(http: &[&'a Directive]) -> Option<Self> {
        Self::of(None, Scope::of(http.to_vec()))
    }

    fn of(server: Option<&'a Directive>, scope: Scope<'a>) -> Option<Self> {
        let chain = location::main(&scope)?;
        let place = *chain.last()?;
        let own = place.children();
        let says = |list: &[&Directive], name: &str| list.iter().any(|d| d.name == name);
        let answers_itself = own.iter().any(|d| d.name == "return") || says(scope.own(), "return");
        if answers_itself || own.iter().all(|d| d.name != "proxy_pass") {
            return None;
        }
        let words = ["registry/2.0", "docker", "_ping"];
        let text = |d: &Directive| {
            d.args
                .iter()
                .any(|arg| words.iter().any(|w| arg.contains(w)))
        };
        let speaks_of_a_registry = location::names_the_api(&chain)
            || own.iter().chain(scope.own().iter().copied()).any(text);
        Some(Self {
            server,
            scope,
            chain,
            place,
            speaks_of_a_registry,
        })
    }

    /// The scope inside of these blocks.
    fn scope_of(&self, chain: &[&'a Directive]) -> Scope<'a> {
        chain.iter().fold(self.scope.clone(), |scope, block| {
            scope.inside(block.children())
        })
    }

    /// The server as a configuration of ours.
    pub(super) fn translated(&self, around: &Around<'a>, report: &mut Report) -> Draft {
        let mut draft = Draft::default();
        let scope = self.scope_of(&self.chain);
        for block in self.server.iter().chain(&self.chain) {
            report.carried(block, "line by line, below");
        }
        let lines: Vec<&Directive> = self.decisive().collect();
        let conditions = condition::read(&lines, &scope, report);
        let demanded = lines.iter().find(|d| {
            conditions.have(Effect::Certificate) && d.arg(0).contains("$ssl_client_verify")
        });
        let certificates =
            listen::certificates(&self.scope, &around.prefix, demanded.copied(), report);
        if self.server.is_some() {
            draft.doors = listen::doors(
                &self.scope,
                &around.shared,
                &certificates,
                &around.prefix,
                conditions.have(Effect::HttpsOnly),
                report,
            );
        } else {
            report.note_once(
                "the file has no server block, so it does not say where to listen and with which certificate: dockgate \
                 listens on 127.0.0.1:5443 with a certificate of its own until you write [[listener]]",
            );
        }
        let has_tls = self.server.is_none() || draft.doors.iter().any(|door| door.tls.is_some());
        let certified = certificates.required;
        let mut access = access::read(&scope, &around.prefix, certified, &conditions, report);
        let own = self.place;
        draft.tables.upstream = upstream::read(&scope, own, &around.http, &around.prefix, report);
        let main = Main {
            certified,
            conditions: &conditions,
            upstream: &draft.tables.upstream,
        };
        self.narrower(&mut access, &main, around, report);
        draft.tables.headers = headers::read(&scope, has_tls, report);
        limits::read(&scope, &mut draft, report);
        let authorization = headers::to_the_registry(&scope, report);
        policy::write(
            &access,
            certified,
            authorization,
            own,
            &mut draft.tables,
            report,
        );
        agents(&conditions, &mut draft);
        self.rewrites(report);
        if !certified {
            unknown(&access, &scope, report);
        }
        draft
    }

    /// The lines whose order decides: those of the server and of the location itself.
    fn decisive(&self) -> impl Iterator<Item = &'a Directive> {
        let server: Vec<&'a Directive> = self.scope.own().to_vec();
        server.into_iter().chain(self.place.children())
    }

    /// Locations that decide about some of the API's paths: what they let in must not be less than the rest.
    fn narrower(
        &self,
        access: &mut Access,
        main: &Main<'_>,
        around: &Around<'a>,
        report: &mut Report,
    ) {
        if location::leaves_some_to_none(&self.scope, &self.chain) {
            report.opens(
                self.place,
                "some paths of the registry API lead to no location, so that nginx refuses them, and dockgate would \
                 treat them like the rest; write [[rule]] for what may be done",
            );
        }
        let rest = access.clone();
        for chain in location::narrower(&self.scope, &self.chain) {
            let Some(last) = chain.last().copied() else {
                continue;
            };
            let fate = self.fate_of(&chain, last, (&rest, main), around);
            let is_catalog =
                matches!(kind(last), Kind::Exact(path) | Kind::Prefix(path, _) if path == CATALOG);
            if is_catalog && matches!(fate, Fate::Carried(_)) {
                access.no_catalog = true;
            }
            let below = match &fate {
                Fate::Carried(_) | Fate::Same(_) => Fate::Same("as the location around it".into()),
                _ => {
                    Fate::NoEffect("belongs to the location around it, which is not carried".into())
                }
            };
            report.note(last, fate);
            // What stands in a block around the main one is in force there as well.
            let around_main = self.chain.iter().any(|d| d.id == last.id);
            for child in last.children().iter().filter(|_| !around_main) {
                report.rest(child, &below);
            }
        }
    }

    /// What becomes of a location that decides about some of the API's paths.
    fn fate_of(
        &self,
        chain: &[&'a Directive],
        last: &'a Directive,
        (rest, main): (&Access, &Main<'_>),
        around: &Around<'a>,
    ) -> Fate {
        let scope = self.scope_of(chain);
        let mut scratch = Report::default();
        let lines: Vec<&Directive> = last.children().iter().collect();
        let conditions = condition::read(&lines, &scope, &mut scratch);
        let certified = main.certified;
        let needs = access::read(&scope, &around.prefix, certified, &conditions, &mut scratch);
        let says = |name: &str| lines.iter().find(|d| d.name == name);
        let answer = says("return");
        let refuses = answer.is_some_and(|d| d.arg(0).parse::<u16>().is_ok_and(|c| c >= 400))
            || needs.read == Need::Nobody;
        let proxies = answer.is_none() && says("proxy_pass").is_some();
        let is_entrance = matches!(kind(last), Kind::Exact("/v2/"));
        let is_catalog =
            matches!(kind(last), Kind::Exact(path) | Kind::Prefix(path, _) if path == CATALOG);
        if is_entrance && proxies && needs.read.is_met_by(&rest.write) {
            return Fate::Same("clients learn at /v2/ whether to log in".into());
        }
        if is_catalog && (refuses || !proxies) {
            return Fate::Carried("[[rule]] without \"catalog\"".into());
        }
        if refuses {
            return Fate::Opens("nginx refuses what this is about, and dockgate would treat it like the rest; write [[rule]] for what may be done instead".into());
        }
        if !proxies && is_entrance {
            return Fate::Left(
                "nginx answers something else there; dockgate answers what the registry does"
                    .into(),
            );
        }
        if !proxies {
            return Fate::Opens("nginx answers something else there, and dockgate would lead it to the registry like the rest; write [[rule]] for what may be done".into());
        }
        let upstream = upstream::read(&scope, last, &around.http, &around.prefix, &mut scratch);
        if upstream.get("url") != main.upstream.get("url") {
            return Fate::Opens("leads elsewhere, and dockgate would lead it to the registry like the rest; write [[rule]] for what may be done".into());
        }
        let rewrites = lines
            .iter()
            .any(|d| d.name == "rewrite" && location::matches_some(d.arg(0)));
        if scratch.has_opening()
            || !scratch.faults.is_empty()
            || rewrites
            || !needs.is_met_by(rest)
            || main.lacks(&conditions)
        {
            return Fate::Opens("asks for more than the rest does, and dockgate would treat it like the rest; write [[rule]] for it".into());
        }
        if needs == *rest {
            Fate::Left("is treated like the rest of the API; the same is asked for in both".into())
        } else {
            Fate::Stricter("asks for less than the rest does; write [[rule]] to open it".into())
        }
    }

    /// `rewrite`: dockgate sends paths as they came.
    fn rewrites(&self, report: &mut Report) {
        for line in self.decisive().filter(|d| d.name == "rewrite") {
            if location::matches_some(line.arg(0)) {
                report.refuse(
                    line,
                    "changes paths of the registry API, and dockgate sends them as they came",
                );
            } else {
                report.left(line, "is about paths that dockgate does not serve");
            }
        }
    }
}

/// Where nothing keeps anybody out, a line that nobody here knows could be what did.
fn unknown(access: &Access, scope: &Scope<'_>, report: &mut Report) {
    if ![&access.write, &access.delete].contains(&&Need::Nothing) {
        return;
    }
    for line in scope.levels().iter().flatten() {
        let known = known::is_asked_for(&line.name) || known::of(&line.name).is_some();
        if !known && !report.knows(line) {
            report.opens(
                line,
                "is not known, and nothing else keeps anybody out here",
            );
        }
    }
}

fn agents(conditions: &Conditions, draft: &mut Draft) {
    let clients = &mut draft.tables.clients;
    if !conditions.have(Effect::NoOldDocker) {
        let why = "nginx let them in; dockgate turns docker before 1.6 away unless told otherwise";
        clients.put("reject_old_docker", false, Some(why));
    }
    if !conditions.agents.is_empty() {
        let agents = conditions
            .agents
            .iter()
            .map(|agent| toml::Value::from(agent.as_str()));
        clients.set("reject_user_agents", agents.collect::<Vec<_>>());
    }
}
