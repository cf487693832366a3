//! Versions that are kept, made ready to be asked again: compiled, where they have to be, before anybody is kept from changing
//! anything, and without waiting for a component that somebody deploys.

use super::component::Compiled;
use super::deploy::Tries;
use super::error::DeployError;
use super::modules::Inner;
use super::registry::{Entry, Material};
use super::version::Version;
use parking_lot::MutexGuard;
use std::sync::Arc;

/// The right to change something, with what is to be changed.
pub(super) struct AtHand<'a> {
    pub(super) entry: Entry,
    /// Ready to be asked; none: none is wanted.
    pub(super) version: Option<Arc<Version>>,
    _changing: MutexGuard<'a, ()>,
}

impl Inner {
    /// A module with one of its versions that are kept, ready to be asked. `pick` says which, anew if the module has changed while
    /// that one was compiled.
    pub(super) fn at_hand(
        self: &Arc<Self>,
        name: &str,
        pick: impl Fn(&Entry) -> Result<Option<u64>, DeployError>,
    ) -> Result<AtHand<'_>, DeployError> {
        let (mut made, mut tries): (Option<Arc<Version>>, _) = (None, Tries::new());
        loop {
            let _changing = self.changing();
            let entry = self.registry().lock().entry(name)?.clone();
            let Some(number) = pick(&entry)? else { return Ok(AtHand { entry, version: None, _changing }) };
            let made_now = made.take().filter(|version| entry.is_made_of(version, number));
            if let Some(version) = made_now.or_else(|| self.ready(&entry, number)) {
                return Ok(AtHand { entry, version: Some(version), _changing });
            }
            drop(_changing);
            tries.begin(name)?;
            made = Some(self.load_version(&entry, number, None)?);
        }
    }

    /// A version, if it is ready and nothing speaks against it. Where signatures are required it was signed by keys that may be gone
    /// since, and is to be looked at with those of now.
    pub(super) fn ready(&self, entry: &Entry, number: u64) -> Option<Arc<Version>> {
        entry.ready(number).filter(|_| !self.signers().are_required())
    }

    /// Compiles and rehearses a version that is kept; of these bytes, where the caller has them at hand. Not to be called by
    /// whoever keeps others from changing something.
    pub(super) fn load_version(
        self: &Arc<Self>,
        entry: &Entry,
        number: u64,
        bytes: Option<Arc<[u8]>>,
    ) -> Result<Arc<Version>, DeployError> {
        let name = &entry.services.module;
        let missing = || DeployError::NoVersion { name: (**name).into(), version: number };
        let material = entry.material(number).ok_or_else(missing)?;
        let bytes = match self.signers().are_required() {
            true => Some(self.bytes_to_run(&material, bytes)?),
            false => bytes,
        };
        let read = || bytes.map_or_else(|| self.bytes(&material), Ok);
        let compiled = self.compile_kept(entry, &material.digest, read)?;
        self.rehearse(entry, number, compiled, material.digest, material.config)
    }

    /// Compiles what was compiled before, unless a version of the same component is ready. One at a time, beside the one that is
    /// deployed: a way back that waited for that would be none.
    pub(super) fn compile_kept(
        &self,
        entry: &Entry,
        digest: &str,
        bytes: impl FnOnce() -> Result<Arc<[u8]>, DeployError>,
    ) -> Result<Arc<Compiled>, DeployError> {
        match entry.ready_component(digest) {
            Some(compiled) => Ok(compiled),
            None => {
                let bytes = bytes()?;
                self.while_nothing_is_recalled(|| self.compile(&bytes))
            }
        }
    }

    /// The component of a version that is to be put to work. What was deployed before signatures were required, or under a key
    /// that is not known any more, is not: nobody who may roll back gets past the operator's keys.
    pub(super) fn bytes_to_run(
        &self,
        material: &Material,
        at_hand: Option<Arc<[u8]>>,
    ) -> Result<Arc<[u8]>, DeployError> {
        let bytes = at_hand.map_or_else(|| self.bytes(material), Ok)?;
        // What came with the broker or its configuration is the operator's own.
        if material.component.is_none() && self.signers().are_required() {
            self.signers().check(&bytes, material.signature.as_deref())?;
        }
        Ok(bytes)
    }

    /// Refuses a version that is ready, but not signed as it has to be now.
    pub(super) fn check_signature(&self, entry: &Entry, number: u64) -> Result<(), DeployError> {
        match entry.material(number).filter(|_| self.signers().are_required()) {
            Some(material) => self.bytes_to_run(&material, None).map(drop),
            None => Ok(()),
        }
    }

    /// The component of a version: from memory, or from the store.
    pub(super) fn bytes(&self, material: &Material) -> Result<Arc<[u8]>, DeployError> {
        let read = || self.store().read_component(&material.digest, super::modules::COMMIT_PATIENCE);
        material.component.clone().or_else(read).ok_or(DeployError::NotRead)
    }
}
