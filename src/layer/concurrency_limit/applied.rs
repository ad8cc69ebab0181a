//! What makes a decision known, and the permit that the body of the response takes over.

use http::{Extensions, Response};

use super::body::InFlightBody;
use crate::layer::gate::Annotate;
use crate::respond::ResponseBody;
use crate::store::concurrency::{Occupancy, Permit};

/// A decision: its occupancy goes into the extensions, its permit into the body.
#[derive(Debug)]
pub enum Applied {
    Admitted(Permit),
    Refused(Occupancy),
}

impl Applied {
    const fn occupancy(&self) -> Occupancy {
        match self {
            Self::Admitted(permit) => permit.occupancy(),
            Self::Refused(occupancy) => *occupancy,
        }
    }
}

impl Annotate for Applied {
    type Body<B> = InFlightBody<B>;

    fn annotate_request(&self, extensions: &mut Extensions) {
        extensions.insert(self.occupancy());
    }

    fn annotate_response<B>(
        applied: Option<Self>,
        mut response: Response<ResponseBody<B>>,
    ) -> Response<InFlightBody<B>> {
        if let Some(applied) = &applied {
            response.extensions_mut().insert(applied.occupancy());
        }
        let permit = match applied {
            Some(Self::Admitted(permit)) => Some(permit),
            Some(Self::Refused(_)) | None => None,
        };
        response.map(|body| InFlightBody::new(body, permit))
    }
}
