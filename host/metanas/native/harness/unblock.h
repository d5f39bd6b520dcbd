/* Takes a block of channels apart. */
#ifndef METANAS_UNBLOCK_H
#define METANAS_UNBLOCK_H

/* [pixel][CHANNEL_BLOCK] becomes [channel][pixel], the first `channels` of them, `plane` floats
 * from one to the next. */
void unblock(float *target, long plane, const float *source, long pixels, long channels);

#endif
