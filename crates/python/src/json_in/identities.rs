//! What of a caller's identity is the same in each of their calls, as Python objects that are made once.

use std::{cell::RefCell, rc::Rc, sync::Arc};

use pyo3::{
    intern,
    prelude::*,
    types::{PyDict, PyList, PyString},
};

use mozaiks_auth::Principal;

/// Identities kept a thread; one takes the place of another.
const PLACES: usize = 256;

thread_local! {
    static KEPT: RefCell<Vec<Option<Rc<Identity>>>> =
        RefCell::new((0..PLACES).map(|_| None).collect());
}

/// A principal for plugins.
pub(super) struct Identity {
    /// Held, so that no other principal can be at its address.
    principal: Arc<Principal>,
    pub(super) app_id: Py<PyString>,
    pub(super) user_id: Py<PyString>,
    pub(super) roles: Vec<Py<PyString>>,
    /// `_context`, in which `roles` and `request_id` are still to be set.
    pub(super) context: Py<PyDict>,
}

/// The principal's identity.
///
/// # Errors
/// Where memory ends.
pub(super) fn of(py: Python<'_>, principal: &Arc<Principal>) -> PyResult<Rc<Identity>> {
    // Principals are far apart in memory: the low bits of their addresses say nothing.
    let at = (Arc::as_ptr(principal) as usize >> 6) % PLACES;
    let kept = KEPT.with_borrow(|kept| kept[at].clone());
    if let Some(kept) = kept
        && Arc::ptr_eq(&kept.principal, principal)
    {
        return Ok(kept);
    }
    let identity = Rc::new(Identity::new(py, principal)?);
    // What it replaces is dropped after the borrow.
    let replaced = KEPT.with_borrow_mut(|kept| kept[at].replace(Rc::clone(&identity)));
    drop(replaced);
    Ok(identity)
}

/// `_context` of a call that no user is behind; `request_id` is still to be set.
///
/// # Errors
/// Where memory ends.
pub(super) fn nobody<'py>(py: Python<'py>, app_id: Option<&str>) -> PyResult<Bound<'py, PyDict>> {
    let context = PyDict::new(py);
    context.set_item(intern!(py, "app_id"), app_id)?;
    context.set_item(intern!(py, "user_id"), py.None())?;
    context.set_item(intern!(py, "username"), py.None())?;
    context.set_item(intern!(py, "roles"), PyList::empty(py))?;
    context.set_item(intern!(py, "is_superadmin"), false)?;
    Ok(context)
}

impl Identity {
    fn new(py: Python<'_>, principal: &Arc<Principal>) -> PyResult<Self> {
        let app_id = PyString::new(py, &principal.app_id);
        let user_id = PyString::new(py, &principal.user_id);
        let context = PyDict::new(py);
        context.set_item(intern!(py, "app_id"), &app_id)?;
        context.set_item(intern!(py, "user_id"), &user_id)?;
        context.set_item(intern!(py, "username"), principal.username.as_deref())?;
        context.set_item(intern!(py, "roles"), py.None())?;
        context.set_item(intern!(py, "is_superadmin"), principal.is_superadmin)?;
        context.set_item(intern!(py, "request_id"), py.None())?;
        let roles = principal.roles.iter();
        Ok(Self {
            principal: Arc::clone(principal),
            app_id: app_id.unbind(),
            user_id: user_id.unbind(),
            roles: roles.map(|role| PyString::new(py, role).unbind()).collect(),
            context: context.unbind(),
        })
    }
}
