// SPDX-License-Identifier: Apache-2.0
//! Which of an upstream's endpoints comes next.
