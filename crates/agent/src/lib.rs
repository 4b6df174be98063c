//! The agent: testbeds, the guard, the minds, and the three phases that use them.
