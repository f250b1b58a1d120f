//! mozaiks-gateway
