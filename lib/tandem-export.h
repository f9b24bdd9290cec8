/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#define TANDEM_API __attribute__ ((visibility ("default")))
