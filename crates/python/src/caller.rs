//! Who runs, as Python code and the host see it.

use std::sync::Arc;

use pyo3::{ffi, prelude::*};

use crate::{host_link::HostLink, runtime_types::Kinds};
use mozaiks_auth::Principal;
use mozaiks_plugins::{CallId, Caller, Generation};

/// Who runs: the value of the context variable that each call, import and handler carries.
#[pyclass(frozen, module = "_mozaiks_native", name = "Caller")]
pub(super) struct CallInfo {
    /// The plugin's way to the gateway.
    pub host: Arc<HostLink>,
    pub plugin: Arc<str>,
    pub generation: Generation,
    pub principal: Option<Arc<Principal>>,
    pub app_id: Option<Arc<str>>,
    pub request_id: Option<Arc<str>>,
    pub call: Option<CallId>,
}

impl Drop for CallInfo {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.host.services.call_ended(call);
        }
    }
}

impl CallInfo {
    /// As the host sees it.
    pub(super) fn caller(&self) -> Caller {
        Caller {
            plugin: self.plugin.clone(),
            generation: self.generation,
            principal: self.principal.clone(),
            app_id: self.app_id.clone(),
            request_id: self.request_id.clone(),
            call: self.call,
        }
    }
}

#[pymethods]
impl CallInfo {
    /// The plugin's name.
    #[getter]
    fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Which load of the plugin runs.
    #[getter]
    fn generation(&self) -> u64 {
        self.generation.0
    }

    /// Request id of the running call.
    #[getter]
    fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// App that the call works for.
    #[getter]
    fn app_id(&self) -> Option<&str> {
        self.app_id.as_deref()
    }

    /// Id of whom the call is for.
    #[getter]
    fn user_id(&self) -> Option<&str> {
        self.principal.as_ref().map(|principal| &*principal.user_id)
    }

    /// Name of whom the call is for.
    #[getter]
    fn username(&self) -> Option<&str> {
        self.principal
            .as_ref()
            .and_then(|principal| principal.username.as_deref())
    }

    /// Roles of whom the call is for.
    #[getter]
    fn roles(&self) -> Vec<&str> {
        let roles = self.principal.as_ref().map(|principal| &principal.roles);
        roles.into_iter().flatten().map(|role| &**role).collect()
    }

    /// Whether whom the call is for may do everything.
    #[getter]
    fn is_superadmin(&self) -> bool {
        self.principal
            .as_ref()
            .is_some_and(|principal| principal.is_superadmin)
    }
}

/// The `Caller` of whatever runs now, if it runs for a plugin.
pub(super) fn current_caller(py: Python<'_>) -> Option<Bound<'_, CallInfo>> {
    let mut value = std::ptr::null_mut();
    // SAFETY: attached; a context variable of ours; `value` is a new reference or null.
    let value = unsafe {
        let caller = Kinds::get(py).caller.as_ptr();
        if ffi::PyContextVar_Get(caller, std::ptr::null_mut(), &raw mut value) != 0 {
            ffi::PyErr_Clear();
            return None;
        }
        Bound::from_owned_ptr_or_opt(py, value)?
    };
    value.cast_into().ok()
}
