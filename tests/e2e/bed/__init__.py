# SPDX-License-Identifier: Apache-2.0
"""The test bed: namespaces that play guest, host and world, and netproxy between them."""
