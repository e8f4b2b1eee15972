/* SPDX-License-Identifier: MIT */
/* Names in a pin directory. Those of links and maps are followed by the name of program or map. */
#ifndef PIN_NAMES_H
#define PIN_NAMES_H

#define PIN_LINK       "link_"
#define PIN_MAP	       "map_"
#define PIN_GENERATION "flows_" /* and its number */
#define PIN_COPY       "copy" /* of a generation, about to replace it */
#define PIN_SET	       "set" /* what is pinned here; written last */

#define PIN_PATH_SIZE  512

#endif
