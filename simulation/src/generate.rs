//! A history from its seed: a calm beginning, then steps and faults, mixed as the seed says. Half
//! of the histories have a theme, so that situations come together which are rare by chance.

use crate::network::{CrashAt, Mishap};
use crate::random;
use crate::server::kind::Kind;
use crate::step::{
    Foreign, KERNELS, NODES, POLICIES, Policy, REPLICAS, Report, Step, TRACING_POLICIES, Tetragon,
};
use crate::weather::Weather;

/// What a history is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Theme {
    Anything,
    /// Many nodes lose ready, at once or one after the other.
    Losses,
    /// Hook profiles, and TracingPolicies that need their hooks.
    Hooks,
    /// Several policies for Tetragon's DaemonSet.
    Tetragon,
    /// Two processes, and a leader that does not get through.
    Leaders,
}

/// The steps of that seed.
#[must_use]
pub fn history(seed: u64) -> Vec<Step> {
    let mut generator = Generator::of(seed);
    let mut steps = generator.beginning();
    for _ in 0..generator.random.usize(3..14) {
        generator.turn(&mut steps);
    }
    steps
}

struct Generator {
    /// How many of the turns are faults: none, few, many.
    faults: u8,
    theme: Theme,
    random: fastrand::Rng,
}

/// Its beginning, without any fault.
#[must_use]
pub fn beginning(seed: u64) -> Vec<Step> {
    Generator::of(seed).beginning()
}

impl Generator {
    fn of(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let theme = match random.u8(0..8) {
            0 => Theme::Losses,
            1 => Theme::Hooks,
            2 => Theme::Tetragon,
            3 => Theme::Leaders,
            _ => Theme::Anything,
        };
        Self { faults: random.u8(0..4), theme, random }
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        random::one(&mut self.random, of)
    }

    fn node(&mut self) -> u8 {
        // Small histories with few nodes find most mistakes, and are quick.
        if self.random.u8(0..4) == 0 { self.random.u8(0..NODES) } else { self.random.u8(0..3) }
    }

    fn is_about(&mut self, theme: Theme) -> bool {
        self.theme == theme && self.random.bool()
    }

    fn beginning(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        let nodes = match self.theme {
            Theme::Losses => self.random.u8(3..=NODES),
            _ => self.random.u8(1..=3),
        };
        for node in 0..nodes {
            steps.push(Step::AddNode(node));
            if self.theme == Theme::Losses {
                steps.push(Step::Report(node, Report::Denied));
            } else if self.random.u8(0..4) > 0 {
                steps.push(Step::Report(node, self.report()));
            }
        }
        for policy in 0..self.random.u8(0..=2) {
            steps.push(Step::ApplyPolicy(policy, self.policy()));
        }
        if self.theme == Theme::Tetragon || self.random.u8(0..3) == 0 {
            steps.push(Step::InstallTetragon(self.tetragon()));
        }
        if self.theme == Theme::Hooks || self.random.u8(0..3) == 0 {
            steps.extend((0..KERNELS).map(Step::PublishProfile));
        }
        if self.theme == Theme::Hooks || self.random.u8(0..6) == 0 {
            steps.push(Step::InstallTracingPolicies);
        }
        steps.push(Step::Start(0));
        if self.theme == Theme::Leaders || self.random.u8(0..3) == 0 {
            steps.push(Step::Start(1));
        }
        if matches!(self.theme, Theme::Losses | Theme::Leaders) || self.random.bool() {
            steps.push(Step::Wait { milliseconds: 3_000 });
        }
        steps
    }

    fn turn(&mut self, steps: &mut Vec<Step>) {
        if self.is_about(Theme::Losses) {
            return self.losses(steps);
        }
        if self.is_about(Theme::Leaders) {
            return self.struggle(steps);
        }
        if self.random.u8(0..6) < self.faults {
            self.fault(steps);
        }
        let changes = if self.random.u8(0..4) == 0 { 3 } else { 1 };
        for _ in 0..changes {
            let change = self.change();
            steps.push(change);
        }
        let wait = match self.random.u8(0..20) {
            0..8 => 0,
            8..12 => self.random.u32(1..100),
            12..18 => self.random.u32(100..5_000),
            18 => self.random.u32(5_000..40_000),
            _ if self.random.u8(0..3) > 0 => self.random.u32(1_000..10_000),
            _ => self.random.u32(40_000..400_000),
        };
        if wait > 0 {
            steps.push(Step::Wait { milliseconds: wait });
        }
    }

    /// Each node loses ready for its own reason, some time after the one before.
    fn losses(&mut self, steps: &mut Vec<Step>) {
        let longest = self.one(&[1, 2_000, 15_000, 50_000]);
        let first = self.random.u8(0..NODES);
        for node in (0..NODES).map(|node| (first + node) % NODES) {
            let report = self.one(&[
                Report::Attached,
                Report::Untried,
                Report::FailedCheck,
                Report::NewProbe,
                Report::UnknownProbe,
            ]);
            let is_deleted = self.random.u8(0..4) == 0;
            steps.push(if is_deleted {
                Step::DeleteReport(node)
            } else {
                Step::Report(node, report)
            });
            if self.random.u8(0..6) < self.faults && self.random.bool() {
                self.fault(steps);
            }
            steps.push(Step::Wait { milliseconds: self.random.u32(0..longest) });
        }
        if self.random.bool() {
            steps.extend((0..NODES).map(|node| Step::Report(node, Report::Denied)));
            steps.push(Step::Wait { milliseconds: self.random.u32(1_000..70_000) });
        }
    }

    /// The leader does not get through for about as long as its Lease lasts, while there is work.
    fn struggle(&mut self, steps: &mut Vec<Step>) {
        let replica = self.random.u8(0..REPLICAS);
        let milliseconds = self.random.u32(2_000..22_000);
        let fault = self.one(&[
            Step::Cut { replica, milliseconds },
            Step::Freeze(replica),
            Step::Pause(replica),
            Step::PauseAtRequest(replica),
            Step::PauseAtRequest(replica),
            Step::Crash(replica),
            Step::Stop(replica),
        ]);
        let is_first = self.random.bool();
        let change = Step::Report(self.node(), self.report());
        let instant = Step::Wait { milliseconds: self.random.u32(1..40) };
        steps.extend(if is_first { [fault, change] } else { [change, fault] });
        steps.extend([instant, Step::Report(self.node(), self.report())]);
        steps.push(Step::Wait { milliseconds });
        steps.extend((0..REPLICAS).map(Step::Resume));
        steps.extend((0..REPLICAS).map(Step::Start));
        steps.push(Step::Wait { milliseconds: self.random.u32(1..3_000) });
    }

    fn report(&mut self) -> Report {
        match self.random.u8(0..24) {
            0..8 => Report::Denied,
            8..12 => Report::DeniedOn(self.random.u8(0..KERNELS)),
            12..16 => Report::Attached,
            16..18 => Report::Untried,
            18 | 19 => Report::OldBoot,
            20 => Report::FailedCheck,
            21 => Report::NoChecks,
            22 => Report::WrongReason,
            _ => self.one(&[Report::UnknownProbe, Report::NewProbe]),
        }
    }

    fn policy(&mut self) -> Policy {
        if self.is_about(Theme::Hooks) {
            return self.one(&[Policy::Hooks, Policy::TracingPolicies]);
        }
        if self.is_about(Theme::Tetragon) {
            return self.one(&[
                Policy::Mount,
                Policy::MountAndTaint,
                Policy::NoMount,
                Policy::Restarts,
                Policy::Restarts,
                Policy::Suggest,
                Policy::Window,
            ]);
        }
        self.one(&[
            Policy::Plain,
            Policy::Taint,
            Policy::Taint,
            Policy::SoftTaint,
            Policy::TaintInZone,
            Policy::Hooks,
            Policy::TracingPolicies,
            Policy::MinReadyOne,
            Policy::Mount,
            Policy::MountAndTaint,
            Policy::NoMount,
        ])
    }

    fn tetragon(&mut self) -> Tetragon {
        self.one(&[
            Tetragon::NeedsMount,
            Tetragon::NeedsMount,
            Tetragon::NeedsNoMount,
            Tetragon::MountFails,
        ])
    }

    fn foreign(&mut self) -> Foreign {
        let zone = self.random.bool();
        self.one(&[
            Foreign::Label,
            Foreign::SimilarLabel,
            Foreign::OurLabel,
            Foreign::OurOldLabel,
            Foreign::OurPolicyLabel,
            Foreign::Taint,
            Foreign::Taint,
            Foreign::NoTaint,
            Foreign::OurTaint,
            Foreign::NoTaintOfOurs,
            Foreign::Heartbeat,
            Foreign::OurCondition,
            Foreign::Zone(zone),
            Foreign::Zone(zone),
            Foreign::Annotation,
            Foreign::Cordon,
        ])
    }

    fn change(&mut self) -> Step {
        let (node, policy) = (self.node(), self.random.u8(0..POLICIES));
        let kernel = self.random.u8(0..KERNELS);
        let kind = if self.is_about(Theme::Hooks) {
            self.one(&[1, 46, 48, 49, 55, 57, 58, 59, 60, 60])
        } else if self.is_about(Theme::Tetragon) {
            self.one(&[0, 0, 27, 34, 50, 52, 53, 54, 61])
        } else {
            self.random.u8(0..60)
        };
        match kind {
            0..14 => Step::Report(node, self.report()),
            14..17 => Step::DeleteReport(node),
            17 => Step::Renew(node),
            18..22 => Step::Reboot(node),
            22..24 => Step::AddNode(node),
            24 => Step::RemoveNode(node),
            25..27 => Step::ReplaceNode(node),
            27..34 => Step::ApplyPolicy(policy, self.policy()),
            34..38 => Step::DeletePolicy(policy),
            38..45 => Step::Foreign(node, self.foreign()),
            45 => Step::EmptyStatus(policy),
            46..48 => Step::PublishProfile(kernel),
            48 => Step::FalseProfile(kernel),
            49 => Step::DeleteProfile(kernel),
            50..52 => Step::InstallTetragon(self.tetragon()),
            52 => Step::DeleteTetragon,
            53 => Step::RevertMount,
            54 => Step::UpgradeTetragon,
            55 => Step::InstallTracingPolicies,
            56 => Step::RemoveTracingPolicies,
            57 | 58 => Step::ApplyTracingPolicy(self.random.u8(0..TRACING_POLICIES)),
            61 => Step::HoldTetragon(self.random.bool()),
            60 => Step::Report(node, Report::DeniedOn(kernel)),
            _ => Step::DeleteTracingPolicy(self.random.u8(0..TRACING_POLICIES)),
        }
    }

    fn fault(&mut self, steps: &mut Vec<Step>) {
        let replica = if self.random.u8(0..4) == 0 { self.random.u8(0..REPLICAS) } else { 0 };
        let milliseconds = self.random.u32(0..12_000);
        let weather = self.weather();
        let crash = CrashAt { writes: self.random.u32(1..6), after: self.random.bool() };
        let kind = self.one(&Kind::WATCHED);
        let mishap = self.one(&Mishap::ALL);
        let written = self.one(&Kind::WRITTEN);
        let step = match self.random.u8(0..26) {
            0..6 => Step::Weather(weather),
            6 => Step::Weather(Weather::default()),
            7 | 8 => Step::Cut { replica, milliseconds },
            9..12 => Step::CutAndCompact { replica, milliseconds },
            12 => Step::Freeze(replica),
            13 => Step::Compact,
            14 => Step::Pause(replica),
            15 => Step::Crash(replica),
            16 => Step::CrashAtWrite(replica, crash),
            17 => Step::Stop(replica),
            18 => Step::Start(self.random.u8(0..REPLICAS)),
            19 => Step::PauseAtRequest(replica),
            20..22 => Step::LoseWatch { replica, kind, milliseconds },
            22..24 => Step::NextWrite { replica, kind: written, mishap },
            _ => Step::ClockJump { seconds: self.one(&[-7_200, 30, 5_500, 5_500]) },
        };
        steps.push(step);
        match step {
            Step::Pause(replica) | Step::PauseAtRequest(replica) => {
                let change = self.change();
                let milliseconds = self.random.u32(1_000..40_000);
                steps.extend([change, Step::Wait { milliseconds }, Step::Resume(replica)]);
            }
            _ => {}
        }
    }

    fn weather(&mut self) -> Weather {
        let calm = Weather::default();
        let percent = self.one(&[5, 20, 50]);
        let slow = self.one(&[50, 500, 3_000]);
        let lag = self.one(&[200, 2_000, 9_000]);
        self.one(&[
            Weather { refused: percent, ..calm },
            Weather { lost_before: percent, ..calm },
            Weather { lost_after: percent, ..calm },
            Weather { broken_watches: percent, ..calm },
            Weather { slow, ..calm },
            Weather { lag, ..calm },
            Weather { slow, lag, ..calm },
            Weather { lost_after: percent, hanging: 50, ..calm },
            Weather { broken_watches: percent, hanging: 20, ..calm },
            Weather {
                refused: 5,
                lost_before: 5,
                lost_after: 10,
                broken_watches: 5,
                slow,
                lag,
                ..calm
            },
        ])
    }
}
