mod differential;
mod operators;
mod planner;
